// SPDX-License-Identifier: MIT
// Xen's own headers, which are not written for C++. Included only in drivers/xen/.
#pragma once

extern "C" {
#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xenguest.h>
#include <xenstore.h>
}
