// SPDX-License-Identifier: MIT
// A stand-in for leechcore.so: LeechCore's ABI over an image file, with faults by a script (script.h).
//
// It does not forgive what a client may not rely on: see the comments at each function.
#include "simulators/leechcore/abi.h"
#include "simulators/leechcore/ranges.h"
#include "simulators/leechcore/script.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

using vmemfs::test::stand_in::Range;
using vmemfs::test::stand_in::Script;

namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kNowhere = ~std::uint64_t{0};
constexpr std::uint64_t kMinFile = std::uint64_t{16} << 20;

struct Device {
  explicit Device(const char* device) : script{device} {}
  Script script;
  int fd = -1;
  std::uint64_t size = 0;
  bool is_fpga = false;
  bool is_writable = false;
  std::vector<Range> ranges;
};

[[noreturn]] void hang() {
  for (;;) {
    ::pause();
  }
}

/// Not by SIGSEGV, which sanitizers catch.
void crash() { std::abort(); }

void refuse(LC_CONFIG_ERRORINFO** info, const char* why) {
  if (info == nullptr) {
    return;
  }
  auto* const made = static_cast<LC_CONFIG_ERRORINFO*>(std::calloc(1, sizeof(LC_CONFIG_ERRORINFO)));
  made->dwVersion = LC_CONFIG_ERRORINFO_VERSION;
  made->cbStruct = sizeof(LC_CONFIG_ERRORINFO);
  made->cwszUserText = static_cast<std::uint32_t>(std::strlen(why));
  for (std::size_t i = 0; why[i] != 0; ++i) {
    made->wszUserText[i] = static_cast<char16_t>(why[i]);
  }
  *info = made;
}

bool open_image(Device& device) {
  device.is_fpga = device.script.type() == "fpga" || device.script.type() == "FPGA";
  device.is_writable = device.is_fpga || device.script.number("write") != 0;
  device.fd =
      ::open(device.script.text("file").c_str(), (device.is_writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
  struct stat status {};
  if (device.fd < 0 || ::fstat(device.fd, &status) != 0 ||
      static_cast<std::uint64_t>(status.st_size) < kMinFile) {
    return false;
  }
  device.size = static_cast<std::uint64_t>(status.st_size);
  return true;
}

void detect_memory(Device& device) {
  const std::uint64_t top = device.size - 1;
  if (device.is_fpga) {
    device.ranges = {{0, 0x9ffff, 0}, {0x100000, top, 0x100000}};
  } else {
    device.ranges = {{0, top, 0}};
  }
}

void log_line(const Device& device, const char* what, std::uint64_t count) {
  const std::string path = device.script.text("log");
  if (path.empty()) {
    return;
  }
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const std::string line = what + (" " + std::to_string(count)) + "\n";
  static_cast<void>(::write(fd, line.data(), line.size()) < 0);
  ::close(fd);
}

void fork_child(const Device& device) {
  if (const pid_t child = ::fork(); child == 0) {
    hang();
  } else {
    log_line(device, "child", static_cast<std::uint64_t>(child));
  }
}

void begin_call(const Device& device, const char* what, std::uint32_t count) {
  log_line(device, what, count);
  ::usleep(static_cast<useconds_t>(device.script.number("latency")));
  for (std::uint64_t i = 0; i < device.script.number("print"); ++i) {
    std::printf("line %llu of the library, with a control character \x1b\n",
                static_cast<unsigned long long>(i));
  }
}

/// The position in the image, or nothing: the element is not one that every device takes, or has no memory.
std::optional<std::uint64_t> place_of(const Device& device, const MEM_SCATTER& element) {
  if (element.version != MEM_SCATTER_VERSION || element.qwA == kNowhere || element.cb == 0 ||
      element.cb > kPage || element.qwA / kPage != (element.qwA + element.cb - 1) / kPage ||
      element.iStack != 0) {
    return std::nullopt;
  }
  if (device.is_fpga && (element.qwA % 4 != 0 || element.cb % 4 != 0 || element.cb < 8)) {
    return std::nullopt;
  }
  const std::uint64_t page = element.qwA & ~(kPage - 1);
  if (page == device.script.number("bad", kNowhere) || page == device.script.number("hole", kNowhere)) {
    return std::nullopt;
  }
  return translate(device.ranges, element.qwA, element.cb);
}

void act(const Device& device, std::uint64_t address) {
  if (address == device.script.number("crash", kNowhere)) {
    crash();
  }
  if (address == device.script.number("hang", kNowhere)) {
    hang();
  }
  if (address == device.script.number("exit", kNowhere)) {
    std::exit(3);
  }
}

std::string map_text(const Device& device) {
  const std::string kind = device.script.text("map");
  if (kind == "none") {
    return "";
  }
  if (kind == "garbage") {
    return "0000 ffffffffffffffff - 0 -> 12\n";
  }
  if (kind == "binary") {
    return "\x01\x02\xff\n";
  }
  if (kind == "huge") {
    return std::string(std::size_t{3} << 20, '\n');
  }
  return to_text(device.ranges);
}

} // namespace

void* LcCreate(LC_CONFIG* config) { return LcCreateEx(config, nullptr); }

/// Takes no other version. A file has at least 16 MiB.
void* LcCreateEx(LC_CONFIG* config, LC_CONFIG_ERRORINFO** info) {
  if (config == nullptr || config->dwVersion != LC_CONFIG_VERSION) {
    return nullptr;
  }
  auto device = std::make_unique<Device>(config->szDevice);
  const std::string create = device->script.text("create");
  if (create == "crash") {
    crash();
  }
  if (create == "hang") {
    hang();
  }
  if (create == "refuse") {
    refuse(info, "no device is connected");
    return nullptr;
  }
  if (create == "silent" || !open_image(*device)) {
    if (config->dwPrintfVerbosity != 0) {
      std::printf("DEVICE: ERROR: cannot open it\n");
    }
    return nullptr;
  }
  if (device->script.number("fork") != 0) {
    fork_child(*device);
  }
  if (config->paMax == 0) {
    detect_memory(*device);
  }
  config->paMax = device->size - 1;
  config->fVolatile = device->is_fpga || device->script.number("volatile") != 0 ? 1 : 0;
  config->fWritable = device->is_writable ? 1 : 0;
  config->fRemote = config->szRemote[0] != 0 ? 1 : 0;
  static_cast<void>(
      std::snprintf(config->szDeviceName, sizeof config->szDeviceName, "%s", device->script.type().c_str()));
  return device.release();
}

void LcClose(void* handle) {
  auto* const device = static_cast<Device*>(handle);
  ::close(device->fd);
  delete device;
}

void LcMemFree(void* pointer) { std::free(pointer); }

std::uint32_t LcAllocScatter1(std::uint32_t /*count*/, MEM_SCATTER*** /*elements*/) { return 0; }

std::uint32_t LcAllocScatter2(std::uint32_t size, unsigned char* data, std::uint32_t count,
                              MEM_SCATTER*** elements) {
  if (count > 0x10000 || size != 0 || data != nullptr) {
    return 0;
  }
  auto* const block = static_cast<unsigned char*>(std::calloc(count, sizeof(void*) + sizeof(MEM_SCATTER)));
  auto** const pointers = reinterpret_cast<MEM_SCATTER**>(block);
  auto* const first = reinterpret_cast<MEM_SCATTER*>(block + count * sizeof(void*));
  for (std::uint32_t i = 0; i < count; ++i) {
    pointers[i] = first + i;
    first[i].version = MEM_SCATTER_VERSION;
    first[i].qwA = kNowhere;
  }
  *elements = pointers;
  return 1;
}

/// An element that is marked as done is skipped; one that is not done keeps what its buffer had.
void LcReadScatter(void* handle, std::uint32_t count, MEM_SCATTER** elements) {
  const Device& device = *static_cast<Device*>(handle);
  begin_call(device, "read", count);
  for (std::uint32_t i = 0; i < count; ++i) {
    MEM_SCATTER& element = *elements[i];
    act(device, element.qwA);
    const auto place = place_of(device, element);
    if (element.f == 0 && place &&
        ::pread(device.fd, element.pb, element.cb, static_cast<off_t>(*place)) ==
            static_cast<ssize_t>(element.cb)) {
      element.f = 1;
    }
    element.vStack[element.iStack] = element.qwA; // the library's own
  }
}

void LcWriteScatter(void* handle, std::uint32_t count, MEM_SCATTER** elements) {
  const Device& device = *static_cast<Device*>(handle);
  begin_call(device, "write", count);
  for (std::uint32_t i = 0; i < count; ++i) {
    MEM_SCATTER& element = *elements[i];
    const auto place = place_of(device, element);
    if (element.f == 0 && device.is_writable && place &&
        ::pwrite(device.fd, element.pb, element.cb, static_cast<off_t>(*place)) ==
            static_cast<ssize_t>(element.cb)) {
      element.f = 1;
    }
  }
}

/// Fails for a range within a page that does not end with it, as versions since 2.22.12 do.
std::uint32_t LcRead(void* /*handle*/, std::uint64_t /*address*/, std::uint32_t /*size*/,
                     unsigned char* /*bytes*/) {
  return 0;
}

/// Claims success, as LeechCore does, also if nothing was written.
std::uint32_t LcWrite(void* /*handle*/, std::uint64_t /*address*/, std::uint32_t /*size*/,
                      unsigned char* /*bytes*/) {
  return 1;
}

std::uint32_t LcGetOption(void* handle, std::uint64_t option, std::uint64_t* value) {
  const Device& device = *static_cast<Device*>(handle);
  switch (option) {
  case 0x1000000800000000: *value = device.size - 1; return 1;
  case 0x4000000500000000: *value = 2; return 1;
  case 0x4000000600000000: *value = 23; return 1;
  case 0x4000000700000000: *value = 99; return 1;
  default: return 0;
  }
}

std::uint32_t LcSetOption(void* /*handle*/, std::uint64_t /*option*/, std::uint64_t /*value*/) { return 0; }

/// The size of the map's text is that of its allocation, with bytes of anything after the NUL.
std::uint32_t LcCommand(void* handle, std::uint64_t command, std::uint32_t size_in, const unsigned char* in,
                        unsigned char** out, std::uint32_t* size_out) {
  Device& device = *static_cast<Device*>(handle);
  if (command == 0x4000020000000000 && out != nullptr) {
    const std::string text = map_text(device);
    const std::size_t size = text.size() + 100;
    *out = static_cast<unsigned char*>(std::malloc(size));
    std::memset(*out, 'x', size);
    std::memcpy(*out, text.c_str(), text.size() + 1);
    *size_out = static_cast<std::uint32_t>(size);
    return 1;
  }
  if (command == 0x4000030000000000 && in != nullptr && size_in != 0) {
    device.ranges = vmemfs::test::stand_in::from_text({reinterpret_cast<const char*>(in), size_in});
    return 1;
  }
  return 0;
}
