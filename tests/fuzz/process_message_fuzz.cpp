// SPDX-License-Identifier: MIT
// Messages between the daemon, its guardian and its mounter.
#include "fs/guardian/guardian_message.h"
#include "fs/mounter/mounter_message.h"
#include "fuzz/fuzz_target.h"

FUZZ_TARGET(text) {
  if (const auto message = vmemfs::parse_guardian_message(text)) {
    const auto again = vmemfs::parse_guardian_message(to_text(*message));
    vmemfs::fuzz::expect(again && to_text(*again) == to_text(*message), "a message reads back unchanged");
  }
  if (const auto answer = vmemfs::parse_mounter_answer(text); !answer) {
    vmemfs::fuzz::expect(!vmemfs::to_string(answer.error().kind).empty(), "an error has a kind");
  }
}
