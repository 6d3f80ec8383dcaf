// SPDX-License-Identifier: MIT
// Xen's own headers, which know nothing of C++. Included by nothing else than drivers/xen/.
#pragma once

extern "C" {
#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xenguest.h>
#include <xenstore.h>
}
