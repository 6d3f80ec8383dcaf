// SPDX-License-Identifier: MIT
// Objects of others: what is refused, and what happens if they change under us.
#include "drivers/vbox/shared/byte_exchange.h"
#include "drivers/vbox/shared/shared_object.h"
#include "util/signals.h"
#include "util/unique_fd.h"

#include <array>
#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace vmemfs::vbox {
namespace {

constexpr std::size_t kSize = 3 * 4096 + 100;

/// A file below /dev/shm, removed at the end.
class Place {
public:
  Place() : name{fmt::format("vmemfs-test-{}-object", ::getpid())}, path{"/dev/shm/" + name} {
    ::unlink(path.c_str());
  }
  ~Place() { ::unlink(path.c_str()); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  UniqueFd make(std::size_t size = kSize) const {
    UniqueFd file{::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
    return file;
  }

  const std::string name;
  const std::string path;
};

ErrorKind refusal(const std::string& name, std::size_t size = kSize) {
  const auto opened = SharedObject::open(name, size);
  EXPECT_FALSE(opened.has_value());
  return opened ? ErrorKind::interrupted : opened.error().kind;
}

TEST(SharedObject, NameThatCannotBe_IsInvalid) {
  for (const std::string& name : {std::string{}, std::string{"."}, std::string{".."}, std::string{"a/b"},
                                  std::string{"../etc/passwd"}, std::string(256, 'a')}) {
    EXPECT_EQ(refusal(name), ErrorKind::invalid) << name;
  }
}

TEST(SharedObject, Missing_IsNotFound_AndIsNotMade) {
  const Place place;
  EXPECT_EQ(refusal(place.name), ErrorKind::not_found);
  EXPECT_NE(::access(place.path.c_str(), F_OK), 0);
}

TEST(SharedObject, TooSmall_IsRefused_AndKeepsItsSize) {
  const Place place;
  const UniqueFd file = place.make(kSize - 1);
  EXPECT_EQ(refusal(place.name), ErrorKind::permission);
  struct stat status {};
  ::fstat(file.get(), &status);
  EXPECT_EQ(status.st_size, static_cast<off_t>(kSize - 1));
}

TEST(SharedObject, NoRegularFile_IsRefused) {
  const Place place;
  ASSERT_EQ(::symlink("/dev/zero", place.path.c_str()), 0);
  EXPECT_EQ(refusal(place.name), ErrorKind::permission);
  ::unlink(place.path.c_str());
  ASSERT_EQ(::mkfifo(place.path.c_str(), 0600), 0);
  EXPECT_EQ(refusal(place.name), ErrorKind::permission);
  ::unlink(place.path.c_str());
  ASSERT_EQ(::mkdir(place.path.c_str(), 0700), 0);
  EXPECT_EQ(refusal(place.name), ErrorKind::permission);
  ::rmdir(place.path.c_str());
}

TEST(SharedObject, SecondName_IsRefused) {
  const Place place;
  const UniqueFd file = place.make();
  const std::string other = place.path + "-2";
  ASSERT_EQ(::link(place.path.c_str(), other.c_str()), 0);
  EXPECT_EQ(refusal(place.name), ErrorKind::permission);
  ::unlink(other.c_str());
  EXPECT_TRUE(SharedObject::open(place.name, kSize).has_value());
}

TEST(SharedObject, Bytes_AreThoseOfTheFile) {
  const Place place;
  const UniqueFd file = place.make();
  const auto object = SharedObject::open(place.name, kSize);
  ASSERT_TRUE(object.has_value()) << object.error().message();
  EXPECT_EQ(object->owner(), ::geteuid());
  EXPECT_EQ(object->exchange(kSize - 1, 7).value(), 0);
  EXPECT_EQ(object->exchange(kSize - 1, 9).value(), 7);
  EXPECT_EQ(object->load(kSize - 1).value(), 9);
  const std::array bytes{std::byte{1}, std::byte{2}, std::byte{3}};
  ASSERT_TRUE(object->write(5000, bytes).has_value());
  std::array<std::byte, 3> read{};
  ASSERT_TRUE(object->read(5000, read).has_value());
  EXPECT_EQ(read, bytes);
}

TEST(SharedObject, Cut_IsVmGone_WhateverIsDone) {
  const Place place;
  const UniqueFd file = place.make();
  const auto object = SharedObject::open(place.name, kSize);
  ASSERT_TRUE(object.has_value());
  ASSERT_EQ(::ftruncate(file.get(), 0), 0);
  std::array<std::byte, 8> bytes{};
  EXPECT_EQ(object->exchange(0, 1).error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(object->load(0).error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(object->read(4096, bytes).error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(object->write(4096, bytes).error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(object->check().error().kind, ErrorKind::vm_gone);
  struct stat status {};
  ::fstat(file.get(), &status);
  EXPECT_EQ(status.st_size, 0);
}

/// As threads of the daemon do it.
TEST(SharedObject, CutWhileAllSignalsAreBlocked_IsVmGone) {
  const Place place;
  const UniqueFd file = place.make();
  const auto object = SharedObject::open(place.name, kSize);
  ASSERT_TRUE(object.has_value());
  const SignalsBlocked blocked;
  ASSERT_EQ(::ftruncate(file.get(), 0), 0);
  EXPECT_EQ(object->exchange(0, 1).error().kind, ErrorKind::vm_gone);
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  EXPECT_EQ(sigismember(&now, SIGBUS), 1);
}

TEST(SharedObject, CutAndGrownAgainAllTheTime_NeverKills) {
  const Place place;
  const UniqueFd file = place.make();
  const auto object = SharedObject::open(place.name, kSize);
  ASSERT_TRUE(object.has_value());
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  std::thread cutter{[&] {
    for (int i = 0; i < 3000; ++i) {
      static_cast<void>(::ftruncate(file.get(), 0));
      static_cast<void>(::ftruncate(file.get(), kSize));
    }
    stop = true;
  }};
  while (!stop) {
    failures += object->exchange(kSize - 1, 1) ? 0 : 1;
    static_cast<void>(object->load(0));
  }
  cutter.join();
  EXPECT_TRUE(object->exchange(0, 0).has_value());
}

TEST(SharedObject, Removed_IsVmGone) {
  const Place place;
  const UniqueFd file = place.make();
  const auto object = SharedObject::open(place.name, kSize);
  ASSERT_TRUE(object.has_value());
  EXPECT_TRUE(object->check_name().has_value());
  ::unlink(place.path.c_str());
  EXPECT_EQ(object->check().error().kind, ErrorKind::vm_gone);
  const UniqueFd next = place.make();
  EXPECT_EQ(object->check_name().error().kind, ErrorKind::vm_gone);
}

/// The name leads to another object, and this one has another name.
TEST(SharedObject, Renamed_IsVmGone) {
  const Place place;
  const UniqueFd file = place.make();
  const auto object = SharedObject::open(place.name, kSize);
  ASSERT_TRUE(object.has_value());
  const std::string other = place.path + "-2";
  ASSERT_EQ(::rename(place.path.c_str(), other.c_str()), 0);
  const UniqueFd next = place.make();
  EXPECT_EQ(object->check_name().error().kind, ErrorKind::vm_gone);
  ::unlink(other.c_str());
}

/// Any other bus error still does what it did.
TEST(ByteExchangeDeathTest, AnotherBusError_EndsTheProcess) {
  ASSERT_TRUE(can_exchange_bytes());
  const Place place;
  const UniqueFd file = place.make();
  auto* const mapping =
      static_cast<volatile char*>(::mmap(nullptr, kSize, PROT_READ, MAP_SHARED, file.get(), 0));
  ASSERT_EQ(::ftruncate(file.get(), 0), 0);
  EXPECT_DEATH(static_cast<void>(*mapping), "");
}

TEST(ByteExchangeDeathTest, SignalOfAProcess_EndsTheProcess) {
  ASSERT_TRUE(can_exchange_bytes());
  EXPECT_DEATH(::kill(::getpid(), SIGBUS), "");
}

} // namespace
} // namespace vmemfs::vbox
