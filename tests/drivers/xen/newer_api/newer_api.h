/* SPDX-License-Identifier: MIT
 *
 * Makes this Xen's header look like that of 4.18 and newer, as far as the driver
 * uses it: xc_domain_getinfo_single() is there, xc_domain_getinfo() is not.
 * Put before the source by the compiler's -include.
 */
extern "C" {
#include <xenctrl.h>
int xc_domain_getinfo_single(xc_interface* control, uint32_t domain, xc_domaininfo_t* info);
}
#pragma GCC poison xc_domain_getinfo xc_dominfo_t
