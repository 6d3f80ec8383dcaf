// SPDX-License-Identifier: MIT
// kvm_vmm memory=private|memfd|snapshot commands=FIFO [--id NAME] [slots=N]: a small VMM, for tests of the
// driver `kvm`.
//
// One vCPU, which counts a word of its RAM; memory as layout.h has it, and N more slots of a page. It takes
// commands from the FIFO, a line each, and answers each with a line on its output, "ready" first:
//
//   stop, go      pauses and resumes the vCPU
//   plug, unplug  adds and removes a slot
//   dump FILE     writes all its memory to FILE, at its guest physical addresses
//   quit          ends
//
// With memory=snapshot its RAM is a private mapping of a file, as that of a restored VM.
#include "guests/kvm_vmm/layout.h"

#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iostream>
#include <linux/kvm.h>
#include <mutex>
#include <pthread.h>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using namespace vmemfs::test::kvm_vmm;

[[noreturn]] void give_up(const char* what) {
  std::cout << "error: " << what << ": " << std::generic_category().message(errno) << std::endl;
  std::_Exit(1);
}

int checked(int result, const char* what) {
  if (result < 0) {
    give_up(what);
  }
  return result;
}

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
  Vmm(std::string_view memory, unsigned more_slots) : ram_{make_ram(memory)} {
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
    make_vcpu(kvm);
    ::close(kvm);
  }

  void start() {
    std::thread thread{[this] { run(); }};
    vcpu_thread_ = thread.native_handle();
    thread.detach();
  }

  void stop(bool stopped) {
    std::unique_lock lock{mutex_};
    stop_ = stopped;
    changed_.notify_all();
    while (stopped && !is_stopped_) {
      ::pthread_kill(vcpu_thread_, SIGUSR1);
      changed_.wait_for(lock, std::chrono::milliseconds{10});
    }
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

  void dump(const std::string& path) const {
    const int file = checked(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "dump");
    for (const auto& [piece, memory] : slots_) {
      for (std::size_t done = 0; done < piece.size;) {
        const ssize_t count =
            ::pwrite(file, memory + done, piece.size - done, static_cast<off_t>(piece.gpa + done));
        if (count <= 0) {
          give_up("pwrite");
        }
        done += static_cast<std::size_t>(count);
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

  /// Real mode: inc dword [kCounter], and again.
  void make_vcpu(int kvm) {
    constexpr std::array<unsigned char, 7> kProgram{0x66,           0xff, 0x06, kCounter & 0xff,
                                                    kCounter >> 8U, 0xeb, 0xf9};
    std::memcpy(ram_ + kCode, kProgram.data(), kProgram.size());
    std::memset(ram_ + kCounter, 0, 8);
    vcpu_ = checked(::ioctl(vm_, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    const int size = checked(::ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    map(static_cast<std::size_t>(size), MAP_SHARED, vcpu_);
    kvm_sregs segments{};
    checked(::ioctl(vcpu_, KVM_GET_SREGS, &segments), "KVM_GET_SREGS");
    segments.cs.base = 0;
    segments.cs.selector = 0;
    checked(::ioctl(vcpu_, KVM_SET_SREGS, &segments), "KVM_SET_SREGS");
    kvm_regs registers{};
    registers.rip = kCode;
    registers.rflags = 2;
    checked(::ioctl(vcpu_, KVM_SET_REGS, &registers), "KVM_SET_REGS");
  }

  [[noreturn]] void run() {
    for (;;) {
      {
        std::unique_lock lock{mutex_};
        is_stopped_ = stop_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return !stop_; });
        is_stopped_ = false;
      }
      if (::ioctl(vcpu_, KVM_RUN, 0) < 0 && errno != EINTR) {
        give_up("KVM_RUN");
      }
    }
  }

  std::byte* const ram_;
  std::byte* const rom_ = map(kRom.size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  std::byte* const plugged_ = map(kPlugged.size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  std::byte* more_ = nullptr;
  std::vector<Slot> slots_;
  std::size_t plugged_slot_ = 0;
  int vm_ = -1;
  int vcpu_ = -1;
  pthread_t vcpu_thread_{};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  bool is_stopped_ = false;
};

void answer(Vmm& vmm, const std::string& command) {
  if (command == "stop" || command == "go") {
    vmm.stop(command == "stop");
  } else if (command == "plug" || command == "unplug") {
    vmm.plug(command == "plug");
  } else if (command.starts_with("dump ")) {
    vmm.dump(command.substr(5));
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
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto value = [&] { return argument.substr(argument.find('=') + 1); };
    if (argument.starts_with("memory=")) {
      memory = value();
    } else if (argument.starts_with("commands=")) {
      commands = value();
    } else if (argument.starts_with("slots=")) {
      more_slots = static_cast<unsigned>(std::stoul(value()));
    }
  }
  struct sigaction ignore {};
  ignore.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &ignore, nullptr);
  Vmm vmm{memory, more_slots};
  vmm.start();
  std::cout << "ready" << std::endl;
  for (;;) { // a FIFO ends when its writer closes it
    std::ifstream lines{commands};
    if (!lines) {
      give_up("the FIFO of commands");
    }
    for (std::string line; std::getline(lines, line);) {
      answer(vmm, line);
    }
  }
}
