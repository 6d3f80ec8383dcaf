// SPDX-License-Identifier: MIT
//
// kexec KERNEL INITRD COMMAND-LINE: in the guest, replaces the running kernel by
// another one, without a shutdown. Returns only if that fails.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: kexec KERNEL INITRD COMMAND-LINE\n");
    return 2;
  }
  const int kernel = open(argv[1], O_RDONLY | O_CLOEXEC);
  const int initrd = open(argv[2], O_RDONLY | O_CLOEXEC);
  if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[3]) + 1, argv[3], 0UL) != 0) {
    perror("kexec_file_load");
    return 1;
  }
  reboot(RB_KEXEC);
  perror("reboot");
  return 1;
}
