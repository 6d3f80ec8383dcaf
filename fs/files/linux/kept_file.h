// SPDX-License-Identifier: MIT
// A file whose bytes are made before it is opened, and shared by all who open it.
#pragma once

#include "fs/files/open_file.h"
#include "vm/guest.h"

#include <memory>
#include <string_view>
#include <utility>

namespace vmemfs {

/// Bytes with what they belong to.
struct KeptBytes {
  std::shared_ptr<const void> owner;
  std::string_view bytes;
};

/// The bytes stay those of the moment of opening.
class KeptFile final : public OpenFile {
public:
  KeptFile(std::shared_ptr<Guest> guest, KeptBytes kept) : guest_{std::move(guest)}, kept_{std::move(kept)} {}

  void read(Reply& reply, const ReadRequest& request) override;

private:
  const std::shared_ptr<Guest> guest_;
  const KeptBytes kept_;
};

} // namespace vmemfs
