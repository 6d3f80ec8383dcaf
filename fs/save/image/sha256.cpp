// SPDX-License-Identifier: MIT
#include "fs/save/image/sha256.h"

#include <array>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <utility>

namespace vmemfs {
namespace {

tl::unexpected<Error> hash_failure() {
  return fail(
      ErrorKind::unsupported, "save",
      "cannot compute a SHA-256: OpenSSL of this host refuses; check its configuration (openssl.cnf)");
}

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

} // namespace

struct Sha256::Context {
  std::unique_ptr<EVP_MD_CTX, FreeContext> evp;
};

Sha256::Sha256(std::unique_ptr<Context> context) : context_{std::move(context)} {}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

Result<Sha256> Sha256::create() {
  auto context = std::make_unique<Context>();
  context->evp.reset(EVP_MD_CTX_new());
  if (context->evp == nullptr || EVP_DigestInit_ex(context->evp.get(), EVP_sha256(), nullptr) != 1) {
    return hash_failure();
  }
  return Sha256{std::move(context)};
}

Result<void> Sha256::add(std::span<const std::byte> bytes) {
  if (EVP_DigestUpdate(context_->evp.get(), bytes.data(), bytes.size()) != 1) {
    return hash_failure();
  }
  return {};
}

Result<std::string> Sha256::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (EVP_DigestFinal_ex(context_->evp.get(), digest.data(), &size) != 1) {
    return hash_failure();
  }
  std::string text;
  for (const unsigned char byte : std::span{digest}.first(size)) {
    text += fmt::format("{:02x}", byte);
  }
  return text;
}

} // namespace vmemfs
