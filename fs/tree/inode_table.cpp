// SPDX-License-Identifier: MIT
#include "fs/tree/inode_table.h"

#include <algorithm>
#include <utility>

namespace vmemfs {

InodeTable::InodeTable(NodePtr root) { entries_.emplace(kRootIno, Entry{std::move(root), 1, names_.end()}); }

NodePtr InodeTable::find(Ino ino) const {
  const MutexLock lock{mutex_};
  const auto found = entries_.find(ino);
  return found != entries_.end() ? found->second.node : nullptr;
}

Ino InodeTable::look_up(Ino parent, std::string_view name, const NodePtr& node) {
  return assign({parent, name}, node, 1);
}

Ino InodeTable::number(Ino parent, std::string_view name, const NodePtr& node) {
  return assign({parent, name}, node, 0);
}

Ino InodeTable::assign(NameView name, const NodePtr& node, std::uint64_t lookups) {
  Ino ino = 0;
  {
    const MutexLock lock{mutex_};
    const auto found = names_.find(name);
    if (found != names_.end()) {
      const auto entry = entries_.find(found->second);
      if (entry->second.node->vm() == node->vm()) {
        entry->second.lookups += lookups;
        return entry->first;
      }
      unlink(entry);
    }
    ino = add(name, node);
    entries_.find(ino)->second.lookups = lookups;
  }
  // The VM may have left while the node was looked up, and then nobody else would take the name out. Asked
  // without the lock, as the answer may be the last to hold the VM.
  if (node->gone()) {
    remove_vm(node->vm());
  }
  return ino;
}

Ino InodeTable::add(NameView name, const NodePtr& node) {
  const Ino ino = next_++;
  Entry& entry = entries_.emplace(ino, Entry{node, 0, names_.end()}).first->second;
  by_vm_.emplace(node->vm(), ino);
  entry.name = names_.emplace(Name{name.parent, std::string{name.name}}, ino).first;
  return ino;
}

void InodeTable::unlink(Entries::iterator entry) {
  if (entry->second.name != names_.end()) {
    names_.erase(entry->second.name);
    entry->second.name = names_.end();
  }
  drop_if_unused(entry);
}

void InodeTable::drop_if_unused(Entries::iterator entry) {
  if (entry->second.name == names_.end() && entry->second.lookups == 0) {
    by_vm_.erase({entry->second.node->vm(), entry->first});
    entries_.erase(entry);
  }
}

bool InodeTable::forget(Ino ino, std::uint64_t lookups) {
  const MutexLock lock{mutex_};
  const auto found = entries_.find(ino);
  if (ino == kRootIno || found == entries_.end()) {
    return false;
  }
  found->second.lookups -= std::min(lookups, found->second.lookups);
  const bool unknown = found->second.lookups == 0;
  drop_if_unused(found);
  return unknown;
}

void InodeTable::remove_name(Ino ino) {
  const MutexLock lock{mutex_};
  const auto found = entries_.find(ino);
  if (ino != kRootIno && found != entries_.end()) {
    unlink(found);
  }
}

void InodeTable::remove_vm(VmId vm) {
  if (vm == Node::kMountNode) {
    return;
  }
  const MutexLock lock{mutex_};
  for (auto next = by_vm_.lower_bound({vm, 0}); next != by_vm_.end() && next->first == vm;) {
    const Ino ino = next->second;
    ++next; // unlink() may erase the one before
    unlink(entries_.find(ino));
  }
}

std::vector<Ino> InodeTable::guest_memory(VmId vm) const {
  std::vector<Ino> found;
  const MutexLock lock{mutex_};
  for (auto next = by_vm_.lower_bound({vm, 0}); next != by_vm_.end() && next->first == vm; ++next) {
    const Entry& entry = entries_.find(next->second)->second;
    const File* const file = entry.node->as_file();
    if (entry.lookups > 0 && file != nullptr && file->traits().guest_memory) {
      found.push_back(next->second);
    }
  }
  return found;
}

std::size_t InodeTable::size() const {
  const MutexLock lock{mutex_};
  return entries_.size();
}

} // namespace vmemfs
