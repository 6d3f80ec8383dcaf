// SPDX-License-Identifier: MIT
// The driver `dump` with images that are put together here: an ELF core and a LiME image with holes.
#include "contract/driver_contract.h"
#include "drivers/all_drivers.h"
#include "image/image_bytes.h"
#include "support/files.h"

#include <random>

namespace vmemfs::test {
namespace {

std::string random_bytes(std::size_t size, unsigned seed) {
  std::mt19937 random{seed};
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    byte = static_cast<char>(random());
  }
  return bytes;
}

std::vector<StoredRange> ranges() {
  return {{0, random_bytes(0xa0000, 1)},
          {0x100000, random_bytes(2 << 20, 2)},
          {0x800000, random_bytes(0x10123, 3)}};
}

std::string qemu_note(unsigned seed) {
  return note("QEMU", 0, number(1, 4) + number(440, 4) + random_bytes(432, seed));
}

std::string elf_file() { return elf64_core({.notes = qemu_note(4) + qemu_note(5), .ranges = ranges()}); }

std::string lime_file() {
  std::string file;
  for (const StoredRange& range : ranges()) {
    file += lime_range(range);
  }
  return file;
}

class ImageSubject : public Subject {
public:
  explicit ImageSubject(const std::string& file) {
    write_file(dir_ / "image", file);
    driver_ = std::move(*open_driver({"", "dump", "path=" + (dir_ / "image")}, {watcher_, worker_}));
  }
  Driver& driver() override { return *driver_; }
  std::vector<std::byte> truth(Gpa gpa, std::size_t size) override {
    std::vector<std::byte> bytes(size);
    for (const StoredRange& range : ranges_) {
      if (range.gpa <= gpa.value() && gpa.value() - range.gpa < range.content.size()) {
        std::memcpy(bytes.data(), range.content.data() + (gpa.value() - range.gpa), size);
      }
    }
    return bytes;
  }
  bool end_vm() override { return false; }

private:
  TempDir dir_;
  const std::vector<StoredRange> ranges_ = ranges();
  std::unique_ptr<Driver> driver_;
};

const RegisteredSubject kElf{{"dump_elf", [] { return std::make_unique<ImageSubject>(elf_file()); }}};
const RegisteredSubject kLime{{"dump_lime", [] { return std::make_unique<ImageSubject>(lime_file()); }}};

} // namespace
} // namespace vmemfs::test
