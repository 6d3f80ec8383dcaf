// SPDX-License-Identifier: MIT
#include "soak/mount_users.h"

#include "attack/attack.h"
#include "support/child_process.h"
#include "support/files.h"
#include "util/unique_fd.h"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>

namespace vmemfs::test {

using namespace std::chrono_literals;

MountUsers::MountUsers(std::string mountpoint, std::chrono::milliseconds pace, Faults& faults)
    : mountpoint_{std::move(mountpoint)}, pace_{pace}, faults_{faults} {
  threads_.emplace_back([this](const std::stop_token& stop) { run_programs(stop); });
  threads_.emplace_back([this](const std::stop_token& stop) { run_commands(stop); });
}

void MountUsers::run_programs(const std::stop_token& stop) {
  std::mt19937 dice{3};
  while (!stop.stop_requested()) {
    run_one(dice);
    ++done_;
    std::this_thread::sleep_for(pace_);
  }
}

void MountUsers::run_commands(const std::stop_token& stop) {
  std::mt19937 dice{4};
  while (!stop.stop_requested()) {
    command_one(dice);
    ++done_;
    std::this_thread::sleep_for(pace_);
  }
}

std::string MountUsers::any_vm(std::mt19937& dice) const {
  std::vector<std::string> vms;
  std::error_code error;
  for (std::filesystem::directory_iterator entry{mountpoint_, error}, end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().filename() != ".vmemfs") {
      vms.push_back(entry->path());
    }
  }
  return vms.empty() ? mountpoint_ + "/healthy" : vms[dice() % vms.size()];
}

/// Whatever its exit code: VMs end meanwhile.
void MountUsers::expect_end(const std::vector<std::string>& command, std::chrono::seconds limit) {
  ChildProcess process{command, "/dev/null"};
  if (!process.wait(limit)) {
    faults_.add(fmt::format("it does not end: {}", fmt::join(command, " ")));
  }
}

void MountUsers::kill_midway(const std::vector<std::string>& command, std::mt19937& dice) {
  ChildProcess process{command, "/dev/null"};
  std::this_thread::sleep_for(std::chrono::milliseconds{dice() % 200});
  process.signal(SIGKILL);
  if (!process.wait(5s)) {
    faults_.add(fmt::format("SIGKILL does not end it: {}", fmt::join(command, " ")));
  }
}

void MountUsers::run_one(std::mt19937& dice) {
  const std::string vm = any_vm(dice);
  switch (dice() % 7) {
  case 0: expect_end({"ls", "-lR", mountpoint_}, 20s); break;
  case 1: expect_end({VMEMFS_PROGRAM, "list"}, 60s); break;
  case 2:
    expect_end({"dd", "if=" + mountpoint_ + "/healthy/mem_padded", "of=/dev/null", "bs=256K"}, 60s);
    break;
  case 3: kill_midway({"dd", "if=" + vm + "/mem_padded", "of=/dev/null", "bs=1M"}, dice); break;
  case 4: kill_midway({hostile("readers"), "30", vm + "/mem"}, dice); break;
  case 5: // maps it; a page of a VM that hangs may take its time
    kill_midway({hostile("toucher"), vm + "/mem"}, dice);
    break;
  default: // holds the guest while it reads, and is killed at it or not
    kill_midway(
        {"sh", "-c",
         fmt::format(
             "{{ echo pause hold; dd if={0}/mem of=/dev/null bs=64K skip=16 count=64; }} > {0}/control",
             "'" + vm + "'")},
        dice);
  }
}

void MountUsers::command_one(std::mt19937& dice) {
  const std::string vm = any_vm(dice);
  const std::string control = vm + "/control";
  static constexpr const char* kCommands[] = {"pause ttl=200ms\n", "pause ttl=2s\n",    "refresh\n",
                                              "flush\n",           "cache ttl=100ms\n", "cache ttl=0ms\n"};
  constexpr std::size_t kOfLiveReads = 4; // the healthy VM's are compared, so none may be from a cache
  const auto choice = vm.ends_with("/healthy") ? dice() % kOfLiveReads : dice() % (std::size(kCommands) + 2);
  if (choice < std::size(kCommands)) {
    static_cast<void>(try_write(control, kCommands[choice]));
  } else if (choice == std::size(kCommands)) {
    static_cast<void>(try_write(control, "pause ttl=3s\n")); // the time is for a VM that hangs at the resume
    static_cast<void>(try_write(control, "resume\n"));
  } else {
    const UniqueFd held{::open(control.c_str(), O_WRONLY | O_CLOEXEC)};
    static_cast<void>(::write(held.get(), "pause hold\n", 11) == 11);
    std::this_thread::sleep_for(100ms);
  }
}

} // namespace vmemfs::test
