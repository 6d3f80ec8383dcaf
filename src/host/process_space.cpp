// SPDX-License-Identifier: MIT
#include "host/process_space.h"

#include "core/text.h"
#include "util/users/accounts.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <span>
#include <string_view>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "proc";
/// More than the kernel's auxiliary vector has.
constexpr std::size_t kMaxVector = 1024;
/// A program that is starting may execute another one.
constexpr int kTries = 3;

using Random = std::array<std::byte, 16>;

tl::unexpected<Error> cannot_open(int os_errno, const std::string& path, pid_t pid) {
  std::string what = fmt::format("cannot open {}", path);
  if (os_errno == EPERM || os_errno == EACCES) {
    what += fmt::format(" ({})", access_remedy(pid));
  }
  return fail_errno(os_errno == ENOENT ? ESRCH : os_errno, kOrigin, std::move(what)); // the process has ended
}

/// The auxiliary vector of the program that the process runs now; its size in `buffer`.
Result<std::size_t> read_vector(const std::string& path, pid_t pid, std::span<char> buffer) {
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file) {
    return cannot_open(errno, path, pid);
  }
  const ssize_t size = ::read(file.get(), buffer.data(), buffer.size());
  if (size < 0) {
    return fail_errno(errno, kOrigin, fmt::format("cannot read {}", path));
  }
  return static_cast<std::size_t>(size);
}

std::optional<std::uint64_t> entry(std::string_view vector, std::uint64_t type) {
  for (std::size_t at = 0; at + sizeof(Elf64_auxv_t) <= vector.size(); at += sizeof(Elf64_auxv_t)) {
    Elf64_auxv_t found;
    std::memcpy(&found, vector.data() + at, sizeof found);
    if (found.a_type == type) {
      return found.a_un.a_val;
    }
  }
  return std::nullopt;
}

/// Whether a program was executed with more rights than its user has. AT_SECURE alone does not say so: a
/// security module sets it too when a program enters its domain, as SELinux may for QEMUs of libvirt.
bool has_more_rights(std::string_view vector, pid_t pid) {
  if (entry(vector, AT_SECURE).value_or(0) == 0) {
    return false;
  }
  if (entry(vector, AT_UID) != entry(vector, AT_EUID) || entry(vector, AT_GID) != entry(vector, AT_EGID)) {
    return true;
  }
  const std::string program = fmt::format("/proc/{}/exe", pid);
  const bool has_none = ::getxattr(program.c_str(), "security.capability", nullptr, 0) < 0 &&
                        (errno == ENODATA || errno == ENOTSUP);
  return !has_none;
}

/// As process_vm_readv does.
ssize_t read_random(pid_t pid, Hva at, Random& bytes) {
  const iovec local{bytes.data(), bytes.size()};
  const iovec remote{reinterpret_cast<void*>(at), bytes.size()}; // NOLINT(performance-no-int-to-ptr)
  return ::process_vm_readv(pid, &local, 1, &remote, 1, 0);
}

/// The runtime of Go clears the bytes when it has used them.
bool is_cleared(const Random& bytes) { return bytes == Random{}; }

/// Where program, stack and heap begin: fields 26, 28 and 47 of /proc/PID/stat. Empty if the kernel does not
/// show them. Takes no lock that a program holds while it is executed.
std::string start_addresses(pid_t pid) {
  std::array<char, 2048> buffer;
  const UniqueFd file{::open(fmt::format("/proc/{}/stat", pid).c_str(), O_RDONLY | O_CLOEXEC)};
  const ssize_t size = file ? ::read(file.get(), buffer.data(), buffer.size()) : 0;
  const std::string_view stat{buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) {
    return {};
  }
  constexpr std::size_t kFirst = 3; // number of the field after the name
  const auto fields = split(trim(stat.substr(name_end + 1)), ' ');
  if (fields.size() <= 47 - kFirst || fields[28 - kFirst] == "0") {
    return {};
  }
  return fmt::format("{} {} {}", fields[26 - kFirst], fields[28 - kFirst], fields[47 - kFirst]);
}

} // namespace

ProcessSpace::ProcessSpace(std::shared_ptr<const Process> process, ProcessReaders readers)
    : process_{std::move(process)}, readers_{readers},
      vector_path_{fmt::format("/proc/{}/auxv", process_->pid())},
      memory_path_{fmt::format("/proc/{}/mem", process_->pid())} {}

tl::unexpected<Error> ProcessSpace::gone() const {
  return fail(ErrorKind::vm_gone, kOrigin,
              fmt::format("process {} {}", pid(), process_->alive() ? "runs another program" : "has ended"));
}

Result<std::shared_ptr<const ProcessSpace>> ProcessSpace::open(std::shared_ptr<const Process> process,
                                                               ProcessReaders readers) {
  for (int i = 0; i < kTries; ++i) {
    std::shared_ptr<ProcessSpace> space{new ProcessSpace{process, readers}};
    const auto opened = space->open_files().and_then([&] { return space->check_current(); }).and_then([&] {
      return space->check_rights();
    });
    if (opened) {
      return space;
    }
    if (opened.error().kind != ErrorKind::vm_gone && process->alive()) {
      return tl::unexpected{opened.error()};
    }
  }
  return ProcessSpace{std::move(process), readers}.gone();
}

/// Vector and random bytes are read first and, in check_current(), last: what is opened in between is of the
/// same program.
Result<void> ProcessSpace::open_files() {
  std::array<char, kMaxVector> vector;
  const auto size = read_vector(vector_path_, pid(), vector);
  if (!size) {
    return tl::unexpected{size.error()};
  }
  vector_.assign(vector.data(), *size);
  random_at_ = entry(vector_, AT_RANDOM).value_or(0);
  // Not readable: neither is any other memory, which is reported when it is read.
  random_proves_ = random_at_ != 0 && read_random(pid(), random_at_, random_) == std::ssize(random_) &&
                   !is_cleared(random_);
  memory_ = UniqueFd{::open(memory_path_.c_str(), O_RDWR | O_CLOEXEC)};
  if (!memory_) {
    no_memory_ = cannot_open(errno, memory_path_, pid()).value();
  }
  const std::string path = fmt::format("/proc/{}/pagemap", pid());
  pagemap_ = UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!pagemap_ && errno == ENOENT && process_->alive()) {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("there is no {}: this kernel was built without CONFIG_PROC_PAGE_MONITOR", path));
  }
  if (!pagemap_) {
    return cannot_open(errno, path, pid());
  }
  addresses_ = start_addresses(pid());
  return {};
}

/// Root's own programs have no more rights than root.
Result<void> ProcessSpace::check_rights() const {
  if (!has_more_rights(vector_, pid())) {
    return {};
  }
  const auto owner = process_owner(pid());
  if (!owner) {
    return tl::unexpected{owner.error()};
  }
  if (*owner == 0) {
    return {};
  }
  return fail(ErrorKind::unsupported, kOrigin,
              fmt::format("process {} of uid {} runs a set-uid program, or one with file capabilities: its "
                          "memory is not its user's, so it is not read; start the VM from a program without "
                          "such rights",
                          pid(), *owner));
}

bool ProcessSpace::alive() const {
  // A size that is no multiple of 8 is refused, but only if there is an address space; without waiting for
  // the locks of it, as a read of the memory does.
  char ignored = 0;
  return running() && ::pread(pagemap_.get(), &ignored, 1, 0) != 0;
}

Result<bool> ProcessSpace::same_vector() const {
  std::array<char, kMaxVector> vector;
  const auto size = read_vector(vector_path_, pid(), vector);
  if (!size) {
    return tl::unexpected{size.error()};
  }
  return std::string_view{vector.data(), *size} == vector_;
}

Result<bool> ProcessSpace::same_random() const {
  Random now{};
  const ssize_t got = read_random(pid(), random_at_, now);
  const int error = got < 0 ? errno : EFAULT;
  if (got < 0 && error == ESRCH) {
    return false;
  }
  if (got != std::ssize(now)) { // another program has its stack elsewhere
    if (auto same = same_vector(); !same || !*same) {
      return same;
    }
    return fail_errno(error, kOrigin,
                      fmt::format("cannot find out whether process {} runs another program: the start of its "
                                  "stack is not readable",
                                  pid()));
  }
  if (now == random_) {
    return true;
  }
  if (!is_cleared(now)) {
    return false;
  }
  random_proves_ = false;
  return same_vector(); // again: the bytes were read after it
}

ssize_t ProcessSpace::read(Pieces& local, Pieces& remote, std::size_t first, std::size_t count,
                           bool& proved) const {
  Random now{};
  const bool with_proof = readers_ == ProcessReaders::mounter && random_proves_;
  local[count] = {now.data(), now.size()};
  // An address in the other process; never dereferenced in this one.
  remote[count] = {reinterpret_cast<void*>(random_at_), now.size()}; // NOLINT(performance-no-int-to-ptr)
  const std::size_t pieces = count - first + (with_proof ? 1 : 0);
  const ssize_t got = ::process_vm_readv(pid(), &local[first], pieces, &remote[first], pieces, 0);
  std::size_t wanted = 0;
  for (std::size_t i = first; i < count; ++i) {
    wanted += local[i].iov_len;
  }
  proved = with_proof && got == static_cast<ssize_t>(wanted + now.size()) && now == random_;
  return std::min(got, static_cast<ssize_t>(wanted));
}

// The vector alone, mostly of addresses, may be the same for two programs of a user who has switched off that
// the kernel places them at random; never for a set-uid one, of which it says so.
Result<void> ProcessSpace::check_current() const {
  auto same = left_ ? Result<bool>{false} : same_vector();
  if (same && *same && random_proves_) {
    same = same_random();
  }
  if (same && *same && process_->alive()) {
    return {};
  }
  if (!same && same.error().kind != ErrorKind::vm_gone) {
    return tl::unexpected{same.error()};
  }
  left_ = true;
  return gone();
}

bool ProcessSpace::seems_current() const {
  const std::string now = start_addresses(pid());
  if (!alive() || (!now.empty() && !addresses_.empty() && now != addresses_)) {
    left_ = true;
  }
  return !left_;
}

Result<int> ProcessSpace::memory() const {
  return memory_ ? Result<int>{memory_.get()} : tl::unexpected{*no_memory_};
}

} // namespace vmemfs
