// SPDX-License-Identifier: MIT
#include "image/saved/foreign_contents.h"

#include <algorithm>
#include <array>

namespace vmemfs {
namespace {

using namespace std::string_view_literals;

struct Content {
  std::string_view begin;
  std::string_view what;
};

constexpr std::string_view kLibvirtState =
    "a saved domain of libvirt (virsh save), whose pages have no places of their own; restore it with 'virsh "
    "restore --paused FILE', and mount the domain";
constexpr std::string_view kDisk =
    "a disk, not memory; for the memory of a snapshot in it, start the VM from that snapshot, paused";

constexpr std::array kContents{
    Content{"LibvirtQemudSave"sv, kLibvirtState},
    Content{"LibvirtQemudPart"sv, "a saved domain of libvirt that is not complete (virsh save)"sv},
    Content{"QEVM"sv,
            "a migration stream of QEMU, whose pages have no places of their own; start QEMU with its "
            "VM's options and -S -incoming 'exec:cat FILE', and mount that"sv},
    Content{"QFI\xfb"sv, kDisk},
    Content{"KDMV"sv, kDisk},
    Content{"\x1f\x8b"sv, "packed by gzip; unpack it first"sv},
    Content{"\xfd"
            "7zXZ\0"sv,
            "packed by xz; unpack it first"sv},
    Content{"\x28\xb5\x2f\xfd"sv, "packed by zstd; unpack it first"sv},
    Content{"\x04\x22\x4d\x18"sv, "packed by lz4; unpack it first"sv},
    Content{"BZh"sv, "packed by bzip2; unpack it first"sv},
    Content{"PK\x03\x04"sv, "a zip archive; unpack it first"sv},
    Content{"7z\xbc\xaf\x27\x1c"sv, "a 7z archive; unpack it first"sv},
    Content{"HIBR"sv, "a hibernation file of Windows, which is packed and not read here"sv},
    Content{"hibr"sv, "a hibernation file of Windows, which is packed and not read here"sv},
    Content{"MDMP"sv, "the dump of a Windows process, not of a machine"sv},
};

} // namespace

std::string_view foreign_content(std::span<const std::byte> head) {
  const std::string_view bytes{reinterpret_cast<const char*>(head.data()), head.size()};
  const auto* const found = std::ranges::find_if(
      kContents, [&](const Content& content) { return bytes.starts_with(content.begin); });
  return found != kContents.end() ? found->what : std::string_view{};
}

} // namespace vmemfs
