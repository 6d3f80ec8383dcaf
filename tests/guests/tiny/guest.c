/* SPDX-License-Identifier: MIT
 *
 * Everything the tiny guest does once before its main loop (entry.S), and the
 * printing for that loop.
 */
#include "layout.h"

#include <stddef.h>

/* The PVH boot protocol's start info and memory map. */
#define HVM_START_MAGIC 0x336ec578

struct hvm_start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t module_count;
    uint64_t modules;
    uint64_t command_line;
    uint64_t rsdp;
    uint64_t memory_map; /* from version 1 on */
    uint32_t memory_map_entries;
    uint32_t reserved;
};

struct hvm_memory_map_entry {
    uint64_t start;
    uint64_t size;
    uint32_t type;
    uint32_t reserved;
};

#define MEMORY_TYPE_RAM 1

#define COM1 0x3f8
#define COM1_LINE_CONTROL (COM1 + 3)
#define COM1_LINE_STATUS (COM1 + 5)
#define LINE_STATUS_CAN_SEND 0x20

/* Of machine type pc, where SeaBIOS puts it. */
#define PIIX4_PM1_CONTROL 0x604
#define PM1_SLEEP_ENABLE (1u << 13)
#define PM1_SLEEP_TO_RAM (1u << 10) /* S3, as QEMU counts them */

#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

#define LAPIC 0xfee00000
#define LAPIC_SPURIOUS 0x0f0
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_LVT_LINT0 0x350
#define LAPIC_TIMER_COUNT 0x380
#define LAPIC_TIMER_DIVIDE 0x3e0
#define LAPIC_ENABLE 0x100
#define LAPIC_PERIODIC 0x20000
#define LAPIC_MASKED 0x10000
#define LAPIC_DIVIDE_BY_16 0x3
/* QEMU's and KVM's LAPIC timers run at 1 GHz: 100 Hz after the division. */
#define LAPIC_TICKS (1000000000 / 16 / 100)

#define CODE_SELECTOR 0x08
#define INTERRUPT_GATE 0x8e
#define TIMER_VECTOR 0x40
#define SPURIOUS_VECTOR 0xff

#define PAGE_SIZE 4096
#define MIB 0x100000

struct idt_gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};

struct idt_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

_Static_assert(offsetof(struct tg_info, magic) == TG_INFO_OFF_MAGIC, "magic");
_Static_assert(offsetof(struct tg_info, counter) == TG_INFO_OFF_COUNTER, "counter");
_Static_assert(offsetof(struct tg_info, echo) == TG_INFO_OFF_ECHO, "echo");
_Static_assert(offsetof(struct tg_info, seen_echo) == TG_INFO_OFF_SEEN_ECHO, "seen_echo");
_Static_assert(offsetof(struct tg_info, seen_code) == TG_INFO_OFF_SEEN_CODE, "seen_code");
_Static_assert(offsetof(struct tg_info, seen_r12) == TG_INFO_OFF_SEEN_R12, "seen_r12");
_Static_assert(offsetof(struct tg_info, seen_r13) == TG_INFO_OFF_SEEN_R13, "seen_r13");
_Static_assert(offsetof(struct tg_info, seen_r14) == TG_INFO_OFF_SEEN_R14, "seen_r14");
_Static_assert(offsetof(struct tg_info, seen_r15) == TG_INFO_OFF_SEEN_R15, "seen_r15");
_Static_assert(sizeof(struct tg_info) <= PAGE_SIZE, "the info page is one page");

/* In entry.S. */
void on_fault(void);
void on_timer(void);
void on_spurious(void);

/* Called from entry.S. */
void guest_main(const struct hvm_start_info *start);
void report_change(const char *name, uint64_t value);
void report_fault(void);

/* Read by the main loop. */
uint32_t idle_mode;

static uint32_t sleep_mode;
static struct idt_gate idt[256];
static char fill_text[32];

static volatile struct tg_info *const info = (volatile struct tg_info *)TG_INFO_GPA;

static void out8(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void out16(uint16_t port, uint16_t value) {
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void write_msr(uint32_t msr, uint64_t value) {
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static void write_lapic(uint32_t reg, uint32_t value) {
    *(volatile uint32_t *)(uintptr_t)(LAPIC + reg) = value;
}

static void serial_init(void) {
    out8(COM1 + 1, 0);               /* no interrupts */
    out8(COM1_LINE_CONTROL, 0x80);   /* the divisor: */
    out8(COM1, 1);                   /* 115200 baud */
    out8(COM1 + 1, 0);
    out8(COM1_LINE_CONTROL, 0x03);   /* 8N1 */
}

static void print(const char *text) {
    for (; *text != '\0'; text++) {
        while ((in8(COM1_LINE_STATUS) & LINE_STATUS_CAN_SEND) == 0) {
        }
        out8(COM1, (uint8_t)*text);
    }
}

static void print_hex(uint64_t value, int digits) {
    char text[19] = "0x";
    for (int i = 0; i < digits; i++) {
        text[2 + i] = "0123456789abcdef"[(value >> (4 * (digits - 1 - i))) & 15];
    }
    text[2 + digits] = '\0';
    print(text);
}

void report_change(const char *name, uint64_t value) {
    print(name);
    print(" ");
    print_hex(value, 16);
    print("\n");
}

void report_fault(void) {
    print("vmemfs-guest fault\n");
}

static void __attribute__((noreturn)) fail(const char *why) {
    print("vmemfs-guest error ");
    print(why);
    print("\n");
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

/* If the word at text (ending at a space or the string's end) starts with
 * prefix, what comes after the prefix. */
static const char *after_prefix(const char *text, const char *prefix) {
    for (; *prefix != '\0'; prefix++, text++) {
        if (*text != *prefix) {
            return NULL;
        }
    }
    return text;
}

static int at_word_end(const char *text) {
    return *text == ' ' || *text == '\0';
}

static int is_word(const char *text, const char *word) {
    const char *rest = after_prefix(text, word);
    return rest != NULL && at_word_end(rest);
}

/* Sets *kind and *limit (bytes) from the value of fill=. */
static void parse_fill(const char *value, uint64_t *kind, uint64_t *limit) {
    *limit = ~(uint64_t)0;
    if (is_word(value, "page")) {
        *kind = TG_FILL_PAGE;
    } else if (is_word(value, "all")) {
        *kind = TG_FILL_WORDS;
    } else if (is_word(value, "none")) {
        *kind = TG_FILL_NONE;
        *limit = 0;
    } else {
        uint64_t mib = 0;
        const char *digit = value;
        while (*digit >= '0' && *digit <= '9' && mib < TG_MAP_END / MIB) {
            mib = mib * 10 + (uint64_t)(*digit++ - '0');
        }
        if (digit == value || !is_word(digit, "M")) {
            fail("bad fill=");
        }
        *kind = TG_FILL_WORDS;
        *limit = mib * MIB;
    }

    size_t length = 0;
    for (; !at_word_end(value) && length < sizeof fill_text - 1; value++) {
        fill_text[length++] = *value;
    }
    fill_text[length] = '\0';
}

/* Words it does not know are passed over: microvm adds some of its own. */
static void parse_command_line(const char *text, uint64_t *kind, uint64_t *limit) {
    parse_fill("page", kind, limit);
    while (*text != '\0') {
        const char *value = after_prefix(text, "fill=");
        if (value != NULL) {
            parse_fill(value, kind, limit);
        } else if (is_word(text, "idle")) {
            idle_mode = 1;
        } else if (is_word(text, "sleep")) {
            sleep_mode = 1;
        }
        while (!at_word_end(text)) {
            text++;
        }
        while (*text == ' ') {
            text++;
        }
    }
}

static void put_word(uint64_t gpa) {
    *(volatile uint64_t *)gpa = tg_pattern(gpa);
}

/* Fills at most limit bytes of a range; returns how many it covered. */
static uint64_t fill_range(uint64_t start, uint64_t end, uint64_t kind, uint64_t limit) {
    start = (start + PAGE_SIZE - 1) & -(uint64_t)PAGE_SIZE;
    end &= -(uint64_t)PAGE_SIZE;
    if (start < TG_FILL_START) {
        start = TG_FILL_START;
    }
    if (end > TG_MAP_END) {
        end = TG_MAP_END;
    }
    if (start >= end) {
        return 0;
    }
    if (end - start > limit) {
        end = start + limit;
    }
    if (kind == TG_FILL_PAGE) {
        for (uint64_t gpa = start; gpa < end; gpa += PAGE_SIZE) {
            put_word(gpa);
            put_word(gpa + PAGE_SIZE - 8);
        }
    } else {
        for (uint64_t gpa = start; gpa < end; gpa += 8) {
            put_word(gpa);
        }
    }
    return end - start;
}

static void set_gate(int vector, void (*handler)(void)) {
    const uint64_t address = (uint64_t)handler;
    idt[vector].offset_low = (uint16_t)address;
    idt[vector].selector = CODE_SELECTOR;
    idt[vector].type = INTERRUPT_GATE;
    idt[vector].offset_middle = (uint16_t)(address >> 16);
    idt[vector].offset_high = (uint32_t)(address >> 32);
}

static void interrupts_init(void) {
    /* Firmware may have left the old interrupt controllers open. */
    out8(0x21, 0xff);
    out8(0xa1, 0xff);

    for (int vector = 0; vector < 256; vector++) {
        set_gate(vector, on_fault);
    }
    set_gate(TIMER_VECTOR, on_timer);
    set_gate(SPURIOUS_VECTOR, on_spurious);
    const struct idt_pointer pointer = {sizeof idt - 1, (uint64_t)idt};
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

static void timer_init(void) {
    write_lapic(LAPIC_SPURIOUS, LAPIC_ENABLE | SPURIOUS_VECTOR);
    write_lapic(LAPIC_LVT_LINT0, LAPIC_MASKED);
    write_lapic(LAPIC_LVT_TIMER, LAPIC_PERIODIC | TIMER_VECTOR);
    write_lapic(LAPIC_TIMER_DIVIDE, LAPIC_DIVIDE_BY_16);
    write_lapic(LAPIC_TIMER_COUNT, LAPIC_TICKS);
}

void guest_main(const struct hvm_start_info *start) {
    serial_init();
    interrupts_init();
    if (start->magic != HVM_START_MAGIC || start->version < 1 || start->memory_map == 0) {
        fail("no memory map");
    }

    uint64_t kind;
    uint64_t limit;
    parse_command_line(start->command_line == 0 ? "" : (const char *)start->command_line, &kind,
                       &limit);

    for (uint64_t offset = 0; offset < PAGE_SIZE; offset += 8) {
        *(volatile uint64_t *)(TG_INFO_GPA + offset) = 0;
    }

    /* The whole map is read before the first word is filled: firmware keeps
     * it in memory that it may well call usable. */
    const struct hvm_memory_map_entry *map =
        (const struct hvm_memory_map_entry *)start->memory_map;
    uint64_t count = 0;
    uint64_t ram_bytes = 0;
    for (uint32_t i = 0; i < start->memory_map_entries; i++) {
        if (map[i].type != MEMORY_TYPE_RAM || map[i].size == 0) {
            continue;
        }
        if (count == TG_INFO_MAX_RANGES) {
            fail("too many memory ranges");
        }
        info->ranges[count].start = map[i].start;
        info->ranges[count].size = map[i].size;
        ram_bytes += map[i].size;
        count++;
    }

    uint64_t filled = 0;
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t range_start = info->ranges[i].start;
        filled += fill_range(range_start, range_start + info->ranges[i].size, kind,
                             limit - filled);
    }

    write_msr(MSR_FS_BASE, TG_FS_BASE);
    write_msr(MSR_GS_BASE, TG_GS_BASE);
    write_msr(MSR_KERNEL_GS_BASE, TG_KERNEL_GS_BASE);
    write_msr(MSR_LSTAR, TG_LSTAR);
    write_msr(MSR_STAR, TG_STAR);

    info->seen_code = TG_CODE_VALUE;
    info->seen_r12 = TG_R12;
    info->seen_r13 = TG_R13;
    info->seen_r14 = TG_R14;
    info->seen_r15 = TG_R15;
    info->ram_bytes = ram_bytes;
    info->fill_kind = kind;
    info->fill_bytes = filled;
    info->range_count = count;
    info->magic = TG_INFO_MAGIC;

    if (idle_mode) {
        timer_init();
    }

    int digits = 1;
    while (digits < 16 && ram_bytes >> (4 * digits) != 0) {
        digits++;
    }
    print("vmemfs-guest ready ram=");
    print_hex(ram_bytes, digits);
    print(" fill=");
    print(fill_text);
    print("\n");
    if (sleep_mode) {
        out16(PIIX4_PM1_CONTROL, PM1_SLEEP_ENABLE | PM1_SLEEP_TO_RAM);
    }
}
