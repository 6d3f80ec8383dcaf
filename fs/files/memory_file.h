// `mem` and `mem_padded`.
#pragma once

#include "fs/files/open_file.h"
#include "vm/vm.h"

#include <memory>

namespace vmemfs {

class MemoryFile : public OpenFile {
public:
  MemoryFile(std::shared_ptr<Vm> vm, HolePolicy policy);

  void read(Reply& reply, const ReadRequest& request) override;
  void seek(Reply& reply, std::uint64_t offset, int whence) override;

private:
  const std::shared_ptr<Vm> vm_;
  const HolePolicy policy_;
};

} // namespace vmemfs
