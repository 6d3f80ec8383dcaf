// SPDX-License-Identifier: MIT
#include "fs/privileges/capabilities.h"

#include <algorithm>
#include <cap-ng.h>
#include <cctype>
#include <cerrno>
#include <fmt/format.h>
#include <unistd.h>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "privileges";

capng_type_t operator|(capng_type_t left, capng_type_t right) {
  return static_cast<capng_type_t>(static_cast<unsigned>(left) | static_cast<unsigned>(right));
}

/// Those of `needed` that this process has.
std::vector<unsigned> present(std::span<const int> needed) {
  std::vector<unsigned> found;
  for (const int capability : needed) {
    if (capng_have_capability(CAPNG_PERMITTED, static_cast<unsigned>(capability)) != 0) {
      found.push_back(static_cast<unsigned>(capability));
    }
  }
  return found;
}

std::string names_of(std::span<const unsigned> capabilities) {
  std::string names;
  for (const unsigned capability : capabilities) {
    const char* const name = capng_capability_to_name(capability);
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name != nullptr ? name : "?");
  }
  return names;
}

/// Updates libcap-ng's copy of this process's capabilities, which apply() sets.
void set(capng_type_t sets, std::span<const unsigned> capabilities) {
  for (const unsigned capability : capabilities) {
    capng_update(CAPNG_ADD, sets, capability);
  }
}

Result<void> apply(capng_select_t what, std::string_view name) {
  if (capng_apply(what) != 0) {
    return fail_errno(errno, kOrigin, fmt::format("cannot lower the {} capabilities", name));
  }
  return {};
}

/// Lowers the bounding set. Without CAP_SETPCAP that is not possible, but then it does not matter: executing
/// programs gains nothing any more.
Result<void> lower_bounding_set(std::span<const unsigned> kept) {
  if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) == 0) {
    return {};
  }
  std::vector<unsigned> bound;
  std::ranges::copy_if(kept, std::back_inserter(bound), [](unsigned capability) {
    return capng_have_capability(CAPNG_BOUNDING_SET, capability) != 0;
  });
  capng_clear(CAPNG_SELECT_BOUNDS);
  set(CAPNG_BOUNDING_SET, bound);
  return apply(CAPNG_SELECT_BOUNDS, "bounding");
}

} // namespace

bool may(int capability) {
  return capng_get_caps_process() == 0 &&
         capng_have_capability(CAPNG_EFFECTIVE, static_cast<unsigned>(capability)) != 0;
}

std::string capability_name(int capability) {
  const char* const known = capng_capability_to_name(static_cast<unsigned>(capability));
  std::string name = known != nullptr ? known : fmt::format("{}", capability);
  std::ranges::transform(name, name.begin(),
                         [](unsigned char letter) { return static_cast<char>(std::toupper(letter)); });
  return "CAP_" + name;
}

Result<std::string> keep_capabilities(std::span<const int> needed) {
  if (capng_get_caps_process() != 0) {
    return fail_errno(errno, kOrigin, "cannot read the capabilities");
  }
  const auto kept = present(needed);
  if (auto lowered = lower_bounding_set(kept); !lowered) {
    return tl::unexpected{std::move(lowered.error())};
  }
  const bool by_ambient = ::geteuid() != 0;
  capng_clear(CAPNG_SELECT_CAPS);
  capng_clear(CAPNG_SELECT_AMBIENT);
  set(CAPNG_EFFECTIVE | CAPNG_PERMITTED, kept);
  if (by_ambient) {
    set(CAPNG_INHERITABLE | CAPNG_AMBIENT, kept);
  }
  if (auto lowered = apply(CAPNG_SELECT_CAPS, "effective, permitted and inheritable"); !lowered) {
    return tl::unexpected{std::move(lowered.error())};
  }
  if (auto lowered = apply(CAPNG_SELECT_AMBIENT, "ambient"); !lowered) {
    return tl::unexpected{std::move(lowered.error())};
  }
  return names_of(kept);
}

} // namespace vmemfs
