/* SPDX-License-Identifier: MIT
 *
 * Fills the guest's frames with what the tests expect there, and notes in the
 * status page which it filled.
 */
#include "layout.h"

#ifdef PV
#define BASE 0x60000000ul
#else
#define BASE 0ul
#endif

#define PAGE 4096ul

static volatile struct xg_status *const status = (volatile struct xg_status *)(BASE + XG_STATUS);

static void fill_pattern(void) {
    for (uint64_t gpa = XG_PATTERN; gpa < XG_PATTERN_END; gpa += 8)
        *(volatile uint64_t *)(BASE + gpa) = tg_pattern(gpa);
}

/* Marks the frame at gpa, which is mapped at `page`. */
static void mark(volatile uint64_t *page, uint64_t gpa) {
    page[0] = tg_pattern(gpa);
    page[511] = tg_pattern(gpa + PAGE - 8);
}

static void note(uint64_t start, uint64_t end) {
    uint64_t count = status->range_count;
    if (start < end && count < XG_MAX_RANGES) {
        status->ranges[count].start = start;
        status->ranges[count].end = end;
        status->range_count = count + 1;
    }
}

#ifdef PV

void map_window(uint64_t va, uint64_t pte);

/* Of struct start_info. */
struct start {
    char magic[32];
    uint64_t nr_pages, shared_info, flags, store_mfn, store_evtchn, console_mfn, console_evtchn;
    uint64_t pt_base, nr_pt_frames, mfn_list;
    char between[1152 - 112];
    uint64_t first_p2m_pfn, nr_p2m_frames;
};

static uint64_t later(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

void fill_pv(const struct start *start) {
    const uint64_t *p2m = (const uint64_t *)start->mfn_list;
    fill_pattern();
    status->p2m = start->mfn_list;
    /* What the builder laid down ends with page tables, boot stack and p2m. */
    uint64_t first = later((start->pt_base - BASE) / PAGE + start->nr_pt_frames + 16,
                           start->first_p2m_pfn + start->nr_p2m_frames);
    first = later(first, XG_FILL_START / PAGE);
    for (uint64_t pfn = first; pfn < start->nr_pages; pfn++) {
        map_window(BASE + XG_WINDOW, p2m[pfn] * PAGE + 7);
        mark((volatile uint64_t *)(BASE + XG_WINDOW), pfn * PAGE);
    }
    note(first * PAGE, start->nr_pages * PAGE);
}

#else

#define RAM 1

#define MOST_ENTRIES 64

/* XENMEM_memory_map: what the toolstack passed to Xen about this domain's memory. */
struct memory_map {
    uint32_t count, padding;
    uint64_t entries;
};
struct memory_entry {
    uint64_t addr, size;
    uint32_t type;
} __attribute__((packed));

static struct memory_entry entries[MOST_ENTRIES];
static struct memory_map map = {MOST_ENTRIES, 0, 0};

static int64_t ask_for_memory_map(void) {
    uint64_t result = 12, command = 9;
    uint64_t argument = (uint64_t)&map;
    map.entries = (uint64_t)entries;
    __asm__ volatile("vmmcall" : "+a"(result), "+D"(command), "+S"(argument) : : "memory");
    return (int64_t)result;
}

static void fill_range(uint64_t start, uint64_t size, uint32_t type) {
    uint64_t end = (start + size) & ~(PAGE - 1);
    if (type != RAM)
        return;
    start = start < XG_FILL_START ? XG_FILL_START : (start + PAGE - 1) & ~(PAGE - 1);
    for (uint64_t gpa = start; gpa < end; gpa += PAGE)
        mark((volatile uint64_t *)gpa, gpa);
    note(start, end);
}

void fill_hvm(void) {
    fill_pattern();
    if (ask_for_memory_map() != 0)
        return;
    for (uint32_t i = 0; i < map.count; i++)
        fill_range(entries[i].addr, entries[i].size, entries[i].type);
}

#endif
