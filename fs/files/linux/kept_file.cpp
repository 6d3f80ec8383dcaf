// SPDX-License-Identifier: MIT
#include "fs/files/linux/kept_file.h"

#include "fs/files/text_file.h"

namespace vmemfs {

void KeptFile::read(Reply& reply, const ReadRequest& request) {
  if (guest_->gone()) {
    reply.error(ErrorKind::vm_gone);
  } else {
    reply_with_part(reply, kept_.bytes, request.size, request.offset);
  }
}

} // namespace vmemfs
