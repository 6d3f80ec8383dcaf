// SPDX-License-Identifier: MIT
// An ELF64 core as a test reads it: by <elf.h>, sharing no code with what writes it.
#pragma once

#include <cstdint>
#include <cstring>
#include <elf.h>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::test {

class ElfFile {
public:
  explicit ElfFile(std::string bytes) : bytes_{std::move(bytes)} {
    const auto header = at<Elf64_Ehdr>(0);
    std::size_t count = header.e_phnum;
    if (count == PN_XNUM) {
      count = at<Elf64_Shdr>(header.e_shoff).sh_info;
    }
    for (std::size_t i = 0; i < count; ++i) {
      headers_.push_back(at<Elf64_Phdr>(header.e_phoff + i * header.e_phentsize));
    }
  }

  [[nodiscard]] std::vector<Elf64_Phdr> headers(std::uint32_t type) const {
    std::vector<Elf64_Phdr> found;
    for (const Elf64_Phdr& header : headers_) {
      if (header.p_type == type) {
        found.push_back(header);
      }
    }
    return found;
  }

  /// The contents of those with this name.
  [[nodiscard]] std::vector<std::string> notes(const std::string& name) const {
    std::vector<std::string> found;
    for (const Elf64_Phdr& header : headers(PT_NOTE)) {
      for (std::uint64_t here = header.p_offset; here < header.p_offset + header.p_filesz;) {
        const auto note = at<Elf64_Nhdr>(here);
        const std::uint64_t content = here + sizeof note + rounded(note.n_namesz);
        if (part(here + sizeof note, name.size() + 1) == name + '\0' && note.n_namesz == name.size() + 1) {
          found.push_back(part(content, note.n_descsz));
        }
        here = content + rounded(note.n_descsz);
      }
    }
    return found;
  }

  [[nodiscard]] std::string part(std::uint64_t offset, std::uint64_t size) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset) {
      throw std::runtime_error{"the ELF file ends before " + std::to_string(offset + size)};
    }
    return bytes_.substr(offset, size);
  }

  [[nodiscard]] std::uint16_t machine() const { return at<Elf64_Ehdr>(0).e_machine; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }

private:
  template <typename T> [[nodiscard]] T at(std::uint64_t offset) const {
    T value{};
    std::memcpy(&value, part(offset, sizeof value).data(), sizeof value);
    return value;
  }
  static std::uint64_t rounded(std::uint64_t size) { return (size + 3) / 4 * 4; }

  const std::string bytes_;
  std::vector<Elf64_Phdr> headers_;
};

} // namespace vmemfs::test
