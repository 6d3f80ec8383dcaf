// SPDX-License-Identifier: MIT
// kvm_vmm memory=private|memfd|snapshot commands=FIFO [--id NAME] [slots=N] [vcpus=N] [ports] [stopped]
// [firecracker=SOCKET|cloud-hypervisor=SOCKET]: a small VMM in the shape of Firecracker's, for tests of the
// driver `kvm`.
//
// vCPUs that each count a word of RAM, and write rbx behind it; memory as layout.h has it, and N more slots
// of a page. The threads of the vCPUs are killed, with all of it, if they call more of the kernel than they
// need. It takes commands from the FIFO, a line each, and answers each with a line on its output, "ready"
// first, when all guests run:
//
//   stop, go            pauses and resumes the vCPUs
//   plug, unplug        adds and removes a slot
//   dump GPA SIZE FILE  writes this memory to FILE, at its guest physical addresses; leaves out what is not
//   there registers FILE      writes struct kvm_regs and struct kvm_sregs of each vCPU to FILE, by
//   KVM_GET_REGS quit                ends
//
// With memory=snapshot its RAM is a private mapping of a file, as that of a restored VM. With `ports` the
// guests write to an I/O port in each round, so that they leave KVM_RUN all the time; with `stopped` they run
// after the command "go". The last parameter is the socket of a simulated API, see api_simulator.h.
#include "guests/kvm_vmm/api_simulator.h"
#include "guests/kvm_vmm/layout.h"
#include "guests/kvm_vmm/vcpu.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <fstream>
#include <iostream>
#include <linux/kvm.h>
#include <sstream>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <vector>

namespace {

using namespace vmemfs::test::kvm_vmm;

std::byte* map(std::size_t size, int flags, int fd) {
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (memory == MAP_FAILED) {
    give_up("mmap");
  }
  return static_cast<std::byte*>(memory);
}

void fill(std::byte* memory, std::uint64_t gpa, std::size_t size) {
  for (std::size_t at = 0; at < size; at += 8) {
    const std::uint64_t word = pattern(gpa + at);
    std::memcpy(memory + at, &word, sizeof(word));
  }
}

std::byte* make_ram(std::string_view kind) {
  constexpr std::size_t kSize = kLow.size + kAbove.size;
  if (kind == "private") {
    return map(kSize, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  }
  const int fd = checked(::memfd_create("kvm_vmm", MFD_CLOEXEC), "memfd_create");
  checked(::ftruncate(fd, kSize), "ftruncate");
  return map(kSize, kind == "memfd" ? MAP_SHARED : MAP_PRIVATE, fd);
}

class Vmm {
public:
  Vmm(std::string_view memory, unsigned more_slots, unsigned vcpus, bool ports) : ram_{make_ram(memory)} {
    const int kvm = checked(::open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    vm_ = checked(::ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    static_cast<void>(::ioctl(vm_, KVM_SET_TSS_ADDR, 0xfeffd000)); // where the CPU wants it
    fill(ram_, kLow.gpa, kLow.size);
    fill(ram_ + kLow.size, kAbove.gpa, kUntouched - kHigh);
    fill(rom_, kRom.gpa, kRom.size);
    fill(plugged_, kPlugged.gpa, kPlugged.size);
    add(kLow, ram_, 0);
    add(kAbove, ram_ + kLow.size, 0);
    add(kRom, rom_, KVM_MEM_READONLY);
    more_ = map((more_slots + 1) * 4096UL, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    for (unsigned i = 0; i < more_slots; ++i) { // every other page, so that none is joined with the next
      add({2 * kHigh + i * 8192UL, 4096}, more_ + i * 4096UL, 0);
    }
    for (unsigned id = 0; id < vcpus; ++id) {
      vcpus_.emplace_back(kvm, vm_, id, ports, ram_);
    }
    ::close(kvm);
  }

  void start(bool stopped) {
    std::ranges::for_each(vcpus_, [&](Vcpu& vcpu) { vcpu.start(stopped); });
  }

  /// Until each guest has counted.
  void wait_until_all_run() const {
    for (unsigned id = 0; id < vcpus_.size(); ++id) {
      while (*reinterpret_cast<const volatile std::uint32_t*>(ram_ + counter_of(id)) == 0) {
        ::usleep(1000);
      }
    }
  }

  void stop(bool stopped) {
    std::ranges::for_each(vcpus_, [&](Vcpu& vcpu) { vcpu.stop(stopped); });
  }

  void write_registers(const std::string& path) const {
    std::ofstream file{path, std::ios::binary | std::ios::trunc};
    std::ranges::for_each(vcpus_, [&](const Vcpu& vcpu) { vcpu.write_registers(file); });
  }

  void plug(bool plugged) {
    if (plugged) {
      plugged_slot_ = slots_.size();
      add(kPlugged, plugged_, 0);
    } else {
      set_slot(plugged_slot_, {kPlugged.gpa, 0}, plugged_, 0);
      slots_.pop_back();
    }
  }

  void dump(const Piece& wanted, const std::string& path) const {
    const int file = checked(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "dump");
    for (const auto& [piece, memory] : slots_) {
      const std::uint64_t end = std::min(piece.gpa + piece.size, wanted.gpa + wanted.size);
      for (std::uint64_t gpa = std::max(piece.gpa, wanted.gpa); gpa < end;) {
        const ssize_t count = ::pwrite(file, memory + (gpa - piece.gpa), end - gpa, static_cast<off_t>(gpa));
        if (count <= 0) {
          give_up("pwrite");
        }
        gpa += static_cast<std::uint64_t>(count);
      }
    }
    ::close(file);
  }

private:
  struct Slot {
    Piece piece;
    std::byte* memory;
  };

  void add(const Piece& piece, std::byte* memory, std::uint32_t flags) {
    set_slot(slots_.size(), piece, memory, flags);
    slots_.push_back({piece, memory});
  }

  void set_slot(std::size_t id, const Piece& piece, std::byte* memory, std::uint32_t flags) const {
    kvm_userspace_memory_region region{};
    region.slot = static_cast<std::uint32_t>(id);
    region.flags = flags;
    region.guest_phys_addr = piece.gpa;
    region.memory_size = piece.size;
    region.userspace_addr = reinterpret_cast<std::uint64_t>(memory);
    checked(::ioctl(vm_, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
  }

  std::byte* const ram_;
  std::byte* const rom_ = map(kRom.size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  std::byte* const plugged_ = map(kPlugged.size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  std::byte* more_ = nullptr;
  std::vector<Slot> slots_;
  std::size_t plugged_slot_ = 0;
  int vm_ = -1;
  std::deque<Vcpu> vcpus_;
};

void answer(Vmm& vmm, const std::string& command) {
  if (command == "stop" || command == "go") {
    vmm.stop(command == "stop");
  } else if (command == "plug" || command == "unplug") {
    vmm.plug(command == "plug");
  } else if (command.starts_with("dump ")) {
    std::istringstream words{command.substr(5)};
    Piece wanted{};
    std::string path;
    words >> wanted.gpa >> wanted.size >> path;
    vmm.dump(wanted, path);
  } else if (command.starts_with("registers ")) {
    vmm.write_registers(command.substr(10));
  } else if (command == "quit") {
    std::_Exit(0);
  } else {
    std::cout << "error: unknown: ";
  }
  std::cout << command << std::endl;
}

} // namespace

int main(int argc, char** argv) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::string memory = "private";
  std::string commands;
  unsigned more_slots = 0;
  unsigned vcpus = 1;
  bool ports = false;
  bool start_stopped = false;
  std::string api;
  bool is_firecracker = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto value = [&] { return argument.substr(argument.find('=') + 1); };
    if (argument.starts_with("memory=")) {
      memory = value();
    } else if (argument.starts_with("commands=")) {
      commands = value();
    } else if (argument.starts_with("slots=")) {
      more_slots = static_cast<unsigned>(std::stoul(value()));
    } else if (argument.starts_with("vcpus=")) {
      vcpus = static_cast<unsigned>(std::stoul(value()));
    } else if (argument.starts_with("firecracker=") || argument.starts_with("cloud-hypervisor=")) {
      api = value();
      is_firecracker = argument.starts_with("firecracker=");
    } else if (argument == "ports") {
      ports = true;
    } else if (argument == "stopped") {
      start_stopped = true;
    }
  }
  struct sigaction ignore {};
  ignore.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &ignore, nullptr);
  Vmm vmm{memory, more_slots, vcpus, ports};
  vmm.start(start_stopped);
  if (!start_stopped) {
    vmm.wait_until_all_run();
  }
  if (!api.empty()) {
    start_api(api, is_firecracker, [&](bool stopped) { vmm.stop(stopped); });
  }
  std::cout << "ready" << std::endl;
  // Kept open: a FIFO ends when its last writer closes it, and what the next one writes then may be lost.
  checked(::open(commands.c_str(), O_RDWR | O_CLOEXEC), "the FIFO of commands");
  std::ifstream lines{commands};
  for (std::string line; std::getline(lines, line);) {
    answer(vmm, line);
  }
  give_up("the FIFO of commands");
}
