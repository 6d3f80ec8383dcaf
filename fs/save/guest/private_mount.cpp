// SPDX-License-Identifier: MIT
#include "fs/save/guest/private_mount.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "save";
constexpr std::chrono::milliseconds kBetweenLooks{10};
constexpr std::size_t kMaxLog = std::size_t{1} << 16U;

// Of the keeper.
constexpr int kLife = 3;
constexpr int kLog = 4;
constexpr int kMaxEndMs = 10000; ///< the daemon ends by itself in half of it, whatever hangs
constexpr long kRetryNs = 20'000'000;
constexpr int kRetries = 500;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

/// The first entry that is not hidden: the directory of the VM. Empty: it is not there yet.
std::string first_entry(const std::string& directory) {
  const std::unique_ptr<DIR, CloseDirectory> listing{::opendir(directory.c_str())};
  // NOLINTNEXTLINE(concurrency-mt-unsafe): safe, as no other thread has this directory stream
  while (const dirent* const entry = listing ? ::readdir(listing.get()) : nullptr) {
    if (static_cast<const char*>(entry->d_name)[0] != '.') {
      return static_cast<const char*>(entry->d_name);
    }
  }
  return {};
}

std::string text_of(const UniqueFd& file) {
  std::string text(kMaxLog, '\0');
  const ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

/// The errors of a log, and what was said before there was one, such as of a wrong parameter.
std::string errors_of(const std::string& log) {
  constexpr std::string_view kError = " error: ";
  constexpr std::string_view kProgram = "vmemfs: ";
  constexpr std::size_t kMaxText = 2000;
  std::string errors;
  bool is_error = false;
  for (const std::string_view line : split(log, '\n')) {
    if (is_error && line.starts_with("  ")) { // of an error of several lines
      errors += fmt::format("\n{}", printable(line, kMaxText));
      continue;
    }
    const auto at = line.find(kError);
    const std::string_view text = line.starts_with(kProgram)     ? line.substr(kProgram.size())
                                  : at != std::string_view::npos ? line.substr(at + kError.size())
                                                                 : std::string_view{};
    is_error = !text.empty();
    if (is_error) {
      errors += fmt::format("{}{}", errors.empty() ? "" : "; ", printable(text, kMaxText));
    }
  }
  return errors;
}

/// By its name, so that it is listed as this program. As the last resort, as when the file was replaced,
/// what this process executes.
constexpr const char* kThisProgram = "/proc/self/exe";
std::string program_path() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink(kThisProgram, error);
  return error ? std::string{kThisProgram} : path.string();
}

} // namespace

struct PrivateMount::Place {
  std::string directory;
  std::string config = directory + "/config.toml";
  std::string mountpoint = directory + "/mnt";
  std::string program = program_path();
  std::vector<std::string> arguments{};
  std::vector<char*> argv{};

  /// On failure nothing is left.
  [[nodiscard]] static Result<Place> make(const std::string& spec) {
    std::error_code error;
    std::string directory = std::filesystem::temp_directory_path(error) / "vmemfs-save-XXXXXX";
    if (error || ::mkdtemp(directory.data()) == nullptr) {
      return fail_errno(error ? error.value() : errno, kOrigin,
                        fmt::format("cannot create a directory '{}' for the mount", printable(directory)));
    }
    Place place{.directory = std::move(directory)};
    const UniqueFd config{::open(place.config.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!config || ::mkdir(place.mountpoint.c_str(), 0700) != 0) {
      const int failure = errno;
      remove(place);
      return fail_errno(failure, kOrigin,
                        fmt::format("cannot create the mountpoint '{}'", printable(place.mountpoint)));
    }
    // The empty configuration: that of the user may have more VMs, or let others in.
    place.arguments = {"vmemfs",
                       "--foreground",
                       "--no-discover",
                       "--config=" + place.config,
                       fmt::format("-ofsname={}", kPrivateMountSource),
                       "--vm=" + spec,
                       place.mountpoint};
    return place;
  }

  /// Pointers to the arguments, which stay where they are from now on.
  void finish() {
    for (std::string& argument : arguments) {
      argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
  }
};

bool is_vm_spec(const std::string& text) {
  const std::size_t colon = text.find(':');
  struct stat status {};
  return colon != std::string::npos && colon > 0 && text.find('/') > colon &&
         ::stat(text.c_str(), &status) != 0;
}

PrivateMount::PrivateMount(PrivateMount&& other) noexcept
    : life_{std::move(other.life_)}, keeper_{std::exchange(other.keeper_, -1)}, vm_{std::move(other.vm_)} {}

PrivateMount::~PrivateMount() {
  life_.reset();
  if (keeper_ > 0) {
    while (::waitpid(keeper_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

Result<PrivateMount> PrivateMount::start(const std::string& spec, const std::stop_token& stop) {
  auto place = Place::make(spec);
  if (!place) {
    return tl::unexpected{std::move(place.error())};
  }
  place->finish();
  const UniqueFd log{::memfd_create("vmemfs-save-log", MFD_CLOEXEC)};
  int ends[2] = {-1, -1};
  if (!log || ::pipe2(ends, O_CLOEXEC) != 0) {
    const int failure = errno;
    remove(*place);
    return fail_errno(failure, kOrigin, "cannot start the daemon for the mount");
  }
  const UniqueFd of_keeper{ends[0]};
  UniqueFd life{ends[1]};
  const pid_t keeper = ::fork();
  if (keeper == 0) {
    keep(*place, of_keeper.get(), log.get());
  }
  if (keeper < 0) {
    const int failure = errno;
    remove(*place);
    return fail_errno(failure, kOrigin, "cannot start the daemon for the mount");
  }
  PrivateMount mount{std::move(life), keeper};
  if (auto mounted = mount.wait_until_mounted(*place, log, stop); !mounted) {
    return tl::unexpected{std::move(mounted.error())};
  }
  return mount;
}

Result<void> PrivateMount::wait_until_mounted(const Place& place, const UniqueFd& log,
                                              const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (::waitpid(keeper_, nullptr, WNOHANG) == keeper_) {
      keeper_ = -1;
      const std::string reason = errors_of(text_of(log));
      return fail(ErrorKind::source_failed, kOrigin,
                  reason.empty() ? "cannot mount the VM: the daemon has ended without a reason" : reason);
    }
    if (const std::string name = first_entry(place.mountpoint); !name.empty()) {
      vm_ = fmt::format("{}/{}", place.mountpoint, name);
      return {};
    }
    std::this_thread::sleep_for(kBetweenLooks);
  }
  return fail(ErrorKind::interrupted, kOrigin, "stopped");
}

// ---- the keeper: in a copy of a process that has other threads, so it only makes system calls

void PrivateMount::remove(const Place& place) {
  ::unlink(place.config.c_str());
  ::rmdir(place.mountpoint.c_str());
  ::rmdir(place.directory.c_str());
}

void PrivateMount::run_daemon(const Place& place, int log) {
  sigset_t none;
  sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::signal(SIGXFSZ, SIG_DFL);
  ::dup2(log, STDERR_FILENO);
  ::execv(place.program.c_str(), place.argv.data());
  ::execv(kThisProgram, place.argv.data());
  constexpr std::string_view kFailed = "vmemfs: cannot start the daemon for the mount: execv failed\n";
  static_cast<void>(::write(STDERR_FILENO, kFailed.data(), kFailed.size()) > 0);
  ::_exit(1);
}

void PrivateMount::keep(const Place& place, int life, int log) {
  ::setsid(); // what ends the save by its process group must not end this
  const int copy_of_log = ::fcntl(log, F_DUPFD, kLog + 1);
  const int copy_of_life = ::fcntl(life, F_DUPFD, kLog + 1);
  ::dup2(copy_of_life, kLife);
  ::dup2(copy_of_log, kLog);
  // Standard output may be the image's pipe, and another descriptor the other end of `life`.
  const int null = ::open("/dev/null", O_RDWR);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ::dup2(null, standard);
  }
  ::close_range(kLog + 1, ~0U, 0);
  const pid_t self = ::getpid();
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    ::close(kLife);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (::getppid() == self) {
      run_daemon(place, kLog);
    }
    ::_exit(1);
  }
  const int ended = daemon < 0 ? -1 : static_cast<int>(::syscall(SYS_pidfd_open, daemon, 0));
  if (ended >= 0) {
    std::array<pollfd, 2> fds{{{kLife, POLLIN, 0}, {ended, POLLIN, 0}}};
    while (::poll(fds.data(), fds.size(), -1) < 0 && errno == EINTR) {
    }
    ::kill(daemon, SIGTERM);
    while (::poll(&fds[1], 1, kMaxEndMs) < 0 && errno == EINTR) {
    }
  }
  if (daemon > 0) {
    ::kill(daemon, SIGKILL);
    ::waitpid(daemon, nullptr, 0);
  }
  // If the daemon was killed, its helper unmounts, moments later.
  const timespec retry{0, kRetryNs};
  for (int i = 0; i < kRetries && ::rmdir(place.mountpoint.c_str()) != 0 && errno == EBUSY; ++i) {
    ::nanosleep(&retry, nullptr);
  }
  remove(place);
  ::_exit(0);
}

} // namespace vmemfs
