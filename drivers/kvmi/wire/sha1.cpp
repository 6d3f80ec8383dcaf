// SPDX-License-Identifier: MIT
#include "drivers/kvmi/wire/sha1.h"

#include <openssl/sha.h>

namespace vmemfs::kvmi {

std::array<std::byte, 20> sha1(std::string_view text) {
  static_assert(SHA_DIGEST_LENGTH == 20);
  std::array<std::byte, SHA_DIGEST_LENGTH> digest{};
  ::SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

} // namespace vmemfs::kvmi
