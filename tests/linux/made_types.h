// SPDX-License-Identifier: MIT
// Types of a made kernel's processes, files, mounts and sockets. Their order and sizes are no real kernel's.
#pragma once

#include "linux/btf/types.h"
#include "linux/btf_builder.h"

#include <cstdint>
#include <memory>

namespace vmemfs {

/// Offsets in bytes, for who writes such structures.
struct Made {
  struct Task {
    static constexpr std::uint64_t kBytes = 128, kTasks = 0, kPid = 16, kTgid = 20, kComm = 24, kState = 40,
                                   kFlags = 48, kRealParent = 56, kGroupLeader = 64, kMm = 72, kRealCred = 80,
                                   kNsproxy = 88, kFs = 96, kFiles = 104;
  };
  struct Dentry {
    static constexpr std::uint64_t kHash = 8, kParent = 16, kNameLength = 28, kName = 32;
  };
  struct File {
    static constexpr std::uint64_t kOperations = 16, kPrivate = 24, kInode = 32;
  };
  struct Mount {
    static constexpr std::uint64_t kParent = 0, kMountpoint = 8, kInner = 16, kRoot = 16, kFilesystem = 24,
                                   kFlags = 32, kList = 40, kNode = 40, kSource = 64, kOwner = 72, kId = 80,
                                   kBytes = 88;
  };
  struct Filesystem {
    static constexpr std::uint64_t kDevice = 0, kFlags = 8, kType = 16, kSubtype = 24;
  };
  struct Namespace {
    static constexpr std::uint64_t kMounts = 8;
  };
  struct Sock {
    static constexpr std::uint64_t kPeerAddress = 0, kAddress = 4, kPeerPort = 8, kPort = 10, kFamily = 12,
                                   kState = 14, kPeerAddress6 = 16, kAddress6 = 32, kSocket = 48, kType = 56,
                                   kProtocol = 58, kUnixAddress = 64, kUnixPeer = 72;
  };
  struct Socket {
    static constexpr std::uint64_t kFile = 8, kSock = 16;
  };

  enum class MountsAre : std::uint8_t { list, tree };

  [[nodiscard]] static std::shared_ptr<const btf::Types> types(MountsAre mounts = MountsAre::tree) {
    BtfBuilder btf;
    const Basic basic{btf};
    add_tasks(btf, basic);
    add_mounts(btf, basic, mounts);
    add_sockets(btf, basic);
    auto types = btf::Types::parse(btf.bytes());
    return types ? *types : nullptr;
  }

private:
  struct Basic {
    explicit Basic(BtfBuilder& btf)
        : u8{btf.integer("unsigned char", 1)}, u16{btf.integer("short unsigned int", 2)},
          u32{btf.integer("unsigned int", 4)}, u64{btf.integer("long unsigned int", 8)},
          pointer{btf.pointer(0)},
          list{btf.structure("list_head", 16, {{"next", pointer, 0}, {"prev", pointer, 64}})},
          path{btf.structure("path", 16, {{"mnt", pointer, 0}, {"dentry", pointer, 64}})} {}

    BtfBuilder::Id u8, u16, u32, u64, pointer, list, path;
  };

  static void add_tasks(BtfBuilder& btf, const Basic& basic) {
    const auto [u8, u16, u32, u64, pointer, list, path] = basic;
    const auto comm = btf.array(btf.integer("char", 1, BtfBuilder::kChar), 16, u32);
    btf.structure("task_struct", Task::kBytes,
                  {{"tasks", list, 0},
                   {"pid", u32, 128},
                   {"tgid", u32, 160},
                   {"comm", comm, 192},
                   {"__state", u32, 320},
                   {"exit_state", u32, 352},
                   {"flags", u32, 384},
                   {"real_parent", pointer, 448},
                   {"group_leader", pointer, 512},
                   {"mm", pointer, 576},
                   {"real_cred", pointer, 640},
                   {"nsproxy", pointer, 704},
                   {"fs", pointer, 768},
                   {"files", pointer, 832}});
    btf.structure("cred", 8, {{"uid", u32, 32}});
    btf.structure(
        "mm_struct", 32,
        {{"pgd", pointer, 0}, {"exe_file", pointer, 64}, {"arg_start", u64, 128}, {"arg_end", u64, 192}});
    btf.structure("file", 40,
                  {{"f_path", path, 0},
                   {"f_op", pointer, 128},
                   {"private_data", pointer, 192},
                   {"f_inode", pointer, 256}});
    const auto name = btf.structure("qstr", 16, {{"len", u32, 32}, {"name", pointer, 64}});
    const auto hash = btf.structure("hlist_bl_node", 16, {{"next", pointer, 0}, {"pprev", pointer, 64}});
    btf.structure("dentry", 40, {{"d_hash", hash, 0}, {"d_parent", pointer, 128}, {"d_name", name, 192}});
  }

  static void add_mounts(BtfBuilder& btf, const Basic& basic, MountsAre mounts) {
    const auto [u8, u16, u32, u64, pointer, list, path] = basic;
    const auto inner = btf.structure(
        "vfsmount", 24, {{"mnt_root", pointer, 0}, {"mnt_sb", pointer, 64}, {"mnt_flags", u32, 128}});
    const auto node = btf.structure(
        "rb_node", 24, {{"__rb_parent_color", u64, 0}, {"rb_right", pointer, 64}, {"rb_left", pointer, 128}});
    const auto root = btf.structure("rb_root", 8, {{"rb_node", pointer, 0}});
    const bool is_list = mounts == MountsAre::list;
    btf.structure(
        "mount", Mount::kBytes,
        {{"mnt_parent", pointer, 0},
         {"mnt_mountpoint", pointer, 64},
         {"mnt", inner, 128},
         is_list ? BtfBuilder::Member{"mnt_list", list, 320} : BtfBuilder::Member{"mnt_node", node, 320},
         {"mnt_devname", pointer, 512},
         {"mnt_ns", pointer, 576},
         {"mnt_id", u32, 640}});
    btf.structure("mnt_namespace", 24,
                  {is_list ? BtfBuilder::Member{"list", list, 64} : BtfBuilder::Member{"mounts", root, 64}});
    btf.structure("nsproxy", 16, {{"mnt_ns", pointer, 64}});
    btf.structure("fs_struct", 24, {{"root", path, 64}});
    btf.structure(
        "super_block", 32,
        {{"s_dev", u32, 0}, {"s_flags", u64, 64}, {"s_type", pointer, 128}, {"s_subtype", pointer, 192}});
    btf.structure("file_system_type", 8, {{"name", pointer, 0}});
  }

  static void add_sockets(BtfBuilder& btf, const Basic& basic) {
    const auto [u8, u16, u32, u64, pointer, list, path] = basic;
    btf.structure("files_struct", 8, {{"fdt", pointer, 0}});
    btf.structure("fdtable", 16, {{"max_fds", u32, 0}, {"fd", pointer, 64}});
    btf.structure("inode", 16, {{"i_ino", u64, 0}, {"i_sb", pointer, 64}});
    btf.structure("socket", 24,
                  {{"state", u32, 0}, {"type", u16, 32}, {"file", pointer, 64}, {"sk", pointer, 128}});
    const auto address6 = btf.structure("in6_addr", 16, {{"bytes", btf.array(u8, 16, u32), 0}});
    const auto common = btf.structure("sock_common", 48,
                                      {{"skc_daddr", u32, 0},
                                       {"skc_rcv_saddr", u32, 32},
                                       {"skc_dport", u16, 64},
                                       {"skc_num", u16, 80},
                                       {"skc_family", u16, 96},
                                       {"skc_state", u8, 112},
                                       {"skc_v6_daddr", address6, 128},
                                       {"skc_v6_rcv_saddr", address6, 256}});
    const auto sock = btf.structure("sock", 64,
                                    {{"__sk_common", common, 0},
                                     {"sk_socket", pointer, 384},
                                     {"sk_type", u16, 448},
                                     {"sk_protocol", u16, 464}});
    btf.structure("unix_sock", 80, {{"sk", sock, 0}, {"addr", pointer, 512}, {"peer", pointer, 576}});
    const auto name = btf.structure("sockaddr_un", 110, {{"sun_family", u16, 0}});
    btf.structure("unix_address", 8, {{"len", u32, 32}, {"name", btf.array(name, 0, u32), 64}});
  }
};

} // namespace vmemfs
