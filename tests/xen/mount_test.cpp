// SPDX-License-Identifier: MIT
// The mounted program in domain 0, looking at the lab's guests, which fill their memory with what every
// reader can check (guests/layout.h).
#include "support/child_process.h"
#include "support/files.h"
#include "support/mount.h"
#include "util/unique_fd.h"
#include "xen/guests/layout.h"
#include "xen/lab_domain.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <sstream>

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kChunk = std::size_t{1} << 20U;

std::uint64_t word_in(const std::vector<std::byte>& bytes, std::size_t at) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes.data() + at, sizeof(word));
  return word;
}

/// Words of [start, end) that are not as the guest wrote them: `step` bytes from one to the next.
std::size_t wrong_words(int fd, std::uint64_t start, std::uint64_t end,
                        const std::vector<std::uint64_t>& in_page) {
  std::size_t wrong = 0;
  for (std::uint64_t at = start; at < end; at += kChunk) {
    const std::size_t size = std::min<std::uint64_t>(kChunk, end - at);
    const auto read = pread_at(fd, at, size);
    if (read.bytes.size() != size) {
      return ~std::size_t{0};
    }
    for (std::size_t page = 0; page < size; page += kPage) {
      for (const std::uint64_t offset : in_page) {
        wrong += word_in(read.bytes, page + offset) == tg_pattern(at + page + offset) ? 0 : 1;
      }
    }
  }
  return wrong;
}

std::vector<std::uint64_t> all_words() {
  std::vector<std::uint64_t> offsets;
  for (std::uint64_t offset = 0; offset < kPage; offset += 8) {
    offsets.push_back(offset);
  }
  return offsets;
}

/// One mount that finds the domains by itself, and one domain of each kind, for all tests here.
class XenMount : public testing::TestWithParam<GuestKind> {
protected:
  static void SetUpTestSuite() {
    mount_ = std::make_unique<Mount>(std::vector<std::string>{"--writable"}, Discover::on);
    for (const GuestKind kind : {GuestKind::pv, GuestKind::pvh, GuestKind::hvm}) {
      domains_[kind] = take_domain(kind);
    }
  }
  static void TearDownTestSuite() {
    mount_.reset();
    for (auto& [kind, domain] : domains_) {
      keep_domain(std::move(domain));
    }
    domains_.clear();
  }

  void SetUp() override {
    ASSERT_TRUE(eventually([&] { return exists(dir()); })) << mount_->log();
  }

  static LabDomain& domain() { return *domains_.at(GetParam()); }
  static std::string dir() { return *mount_ / domain().name(); }
  static UniqueFd open_file(const std::string& name, int flags = O_RDONLY) {
    return UniqueFd{::open((dir() + "/" + name).c_str(), flags | O_CLOEXEC)};
  }
  static std::uint64_t word(const std::string& file, std::uint64_t gpa) {
    const UniqueFd fd = open_file(file);
    const auto read = pread_at(fd.get(), gpa, 8);
    return read.bytes.size() == 8 ? word_in(read.bytes, 0) : 0;
  }
  static std::uint64_t counter() { return word("mem", XG_STATUS + XG_OFF_COUNTER); }
  static void command(const std::string& text) {
    ASSERT_EQ(try_write(dir() + "/control", text + "\n"), 0) << text;
  }
  static std::map<std::string, std::uint64_t> registers() {
    std::istringstream text{read_file(dir() + "/vcpus/0/regs")};
    std::map<std::string, std::uint64_t> values;
    for (std::string name, value; text >> name >> value;) {
      values[name] = std::stoull(value, nullptr, 16);
    }
    return values;
  }
  static bool says(const std::string& file, const std::string& what) {
    return read_file(dir() + "/" + file).find(what) != std::string::npos;
  }
  static Mount& mount() { return *mount_; }

private:
  static inline std::unique_ptr<Mount> mount_;
  static inline std::map<GuestKind, std::unique_ptr<LabDomain>> domains_;
};

TEST_P(XenMount, EveryFrameIsAtItsAddress) {
  const auto filled = domain().filled();
  ASSERT_FALSE(filled.empty());
  for (const char* const file : {"mem", "mem_padded"}) {
    const UniqueFd fd = open_file(file);
    EXPECT_EQ(wrong_words(fd.get(), XG_PATTERN, XG_PATTERN_END, all_words()), 0U);
    for (const auto& [start, end] : filled) {
      EXPECT_EQ(wrong_words(fd.get(), start, end, {0, kPage - 8}), 0U) << std::hex << start << " " << end;
    }
  }
}

TEST_P(XenMount, DomainZeroIsNotThere) { EXPECT_FALSE(exists(mount() / "Domain-0")); }

TEST_P(XenMount, TheCounterGoesOnUntilPausedAndAfter) {
  const std::uint64_t before = counter();
  EXPECT_TRUE(eventually([&] { return counter() > before; }));
  command("pause");
  EXPECT_TRUE(domain().paused());
  EXPECT_TRUE(says("control", "paused_by vmemfs"));
  const std::uint64_t paused_count = counter();
  EXPECT_EQ(paused_count, domain().status(XG_OFF_COUNTER));
  ::usleep(300'000);
  EXPECT_EQ(counter(), paused_count);
  command("pause"); // no second count
  command("resume");
  EXPECT_FALSE(domain().paused());
  EXPECT_TRUE(eventually([&] { return counter() > paused_count; }));
}

TEST_P(XenMount, WhileItStandsPagesComeFromTheCache) {
  command("pause");
  const UniqueFd fd = open_file("mem");
  const auto first = pread_at(fd.get(), XG_PATTERN, kChunk / 4);
  const auto again = pread_at(fd.get(), XG_PATTERN, kChunk / 4);
  EXPECT_EQ(first.bytes, again.bytes);
  EXPECT_FALSE(says("info", "\"hits\": 0,")) << read_file(dir() + "/info");
  // Somebody else resumes it: what was cached is stale.
  const std::uint64_t paused_count = counter();
  domain().unpause();
  EXPECT_TRUE(eventually([&] { return counter() > paused_count; }, std::chrono::seconds{10}));
  EXPECT_TRUE(eventually([&] { return says("control", "state running"); }));
}

TEST_P(XenMount, SomebodyElsesPauseStays) {
  domain().pause();
  EXPECT_TRUE(says("control", "state paused"));
  EXPECT_TRUE(says("control", "paused_by other"));
  domain().unpause();

  command("pause");
  domain().pause(); // beside ours
  command("resume");
  EXPECT_TRUE(domain().paused());
  EXPECT_TRUE(eventually([&] { return says("control", "paused_by other"); }));
  command("resume"); // now it is meant
  EXPECT_FALSE(domain().paused());
}

TEST_P(XenMount, RegistersAreWhatTheGuestSet) {
  command("pause");
  const auto values = registers();
  command("resume");
  EXPECT_EQ(values.at("rbx"), XG_RBX);
  EXPECT_EQ(values.at("rbp"), XG_RBP);
  EXPECT_EQ(values.at("r12"), XG_R12);
  EXPECT_EQ(values.at("r13"), XG_R13);
  EXPECT_EQ(values.at("r14"), XG_R14);
  EXPECT_EQ(values.at("r15"), XG_R15);
  if (GetParam() == GuestKind::pv) {
    EXPECT_TRUE(says("info", "PV, 64-bit")) << read_file(dir() + "/info");
    EXPECT_EQ(values.count("efer"), 0U); // Xen tells of no MSRs of such a vCPU
    EXPECT_TRUE(says("linux/info", "of a Xen PV domain")) << read_file(dir() + "/linux/info");
    EXPECT_FALSE(exists(dir() + "/vcpus/0/virt"));
    return;
  }
  EXPECT_EQ(values.at("cs.selector"), 8U);
  EXPECT_EQ(values.at("cs.attributes"), 0xa09bU); // of the descriptor 00af9b000000ffff
  EXPECT_EQ(values.at("ss.attributes"), 0xc093U); // 00cf93000000ffff
  EXPECT_EQ(values.at("gdt.limit"), 23U);
  EXPECT_EQ(values.at("efer") & 0x501U, 0x501U);
  EXPECT_EQ(values.at("lstar"), XG_LSTAR);
  EXPECT_EQ(values.at("star"), XG_STAR);
}

TEST_P(XenMount, TheGuestSeesWhatIsWritten) {
  const std::uint64_t value = 0x1122334455667788;
  {
    const UniqueFd fd = open_file("mem", O_RDWR);
    ASSERT_EQ(::pwrite(fd.get(), &value, sizeof(value), XG_STATUS + XG_OFF_ECHO), 8) << errno;
  }
  EXPECT_TRUE(eventually([&] { return domain().status(XG_OFF_SEEN_ECHO) == value; }));
  ASSERT_EQ(try_write(dir() + "/vcpus/0/regs", "rbx 0xabcdef\n"), 0) << mount().log();
  EXPECT_TRUE(eventually([&] { return domain().status(XG_OFF_SEEN_RBX) == 0xabcdef; }));
  ASSERT_EQ(try_write(dir() + "/vcpus/0/regs", "rbx 0x1111111111111111\n"), 0);
  EXPECT_FALSE(domain().paused());
}

/// What a balloon does, done from outside, as the lab's guests have none.
TEST_P(XenMount, ABalloonedPageBecomesAHoleAndMemoryAgain) {
  // Of PV one that its kernel has not mapped, as Xen keeps those that it has.
  const std::uint64_t gfn = (domain().filled().front().start >> 12U) + 0x321;
  const UniqueFd honest = open_file("mem");
  const UniqueFd padded = open_file("mem_padded");
  ASSERT_EQ(pread_at(honest.get(), gfn * kPage, 8).bytes.size(), 8U);
  domain().take_page(gfn);
  EXPECT_EQ(pread_at(honest.get(), gfn * kPage, 8).error, EIO);
  EXPECT_EQ(word_in(pread_at(padded.get(), gfn * kPage, 8).bytes, 0), 0U);
  const auto before = pread_at(padded.get(), (gfn - 1) * kPage, 3 * kPage).bytes;
  EXPECT_EQ(word_in(before, 0), tg_pattern((gfn - 1) * kPage));
  EXPECT_EQ(word_in(before, 2 * kPage), tg_pattern((gfn + 1) * kPage));
  const std::string end = fmt::format("-{:016x} rw- ram", gfn * kPage);
  EXPECT_TRUE(eventually([&] {
    static_cast<void>(pread_at(honest.get(), 0, 8));
    return says("maps", end);
  })) << read_file(dir() + "/maps");
  domain().give_page(gfn);
  EXPECT_TRUE(eventually([&] { return pread_at(honest.get(), gfn * kPage, 8).bytes.size() == 8; }))
      << read_file(dir() + "/maps");
  EXPECT_EQ(word_in(pread_at(honest.get(), gfn * kPage, 8).bytes, 0), tg_pattern(gfn * kPage));
  EXPECT_TRUE(eventually([&] { return !says("maps", end); })) << read_file(dir() + "/maps");
}

std::string kind_name(const testing::TestParamInfo<GuestKind>& info) { return to_string(info.param); }

INSTANTIATE_TEST_SUITE_P(Lab, XenMount, testing::Values(GuestKind::pv, GuestKind::pvh, GuestKind::hvm),
                         kind_name);

} // namespace
} // namespace vmemfs::test
