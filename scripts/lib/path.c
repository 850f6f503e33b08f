/* A QEMU plugin that writes down the way of single exits: every instruction of the hypervisor between two of the guest.
 *
 * Arguments: low=ADDRESS high=ADDRESS bound the hypervisor; each NAME=FROM:TO is a window, in the guest's addresses: it
 * opens whenever FROM is executed, in the place of one that is open, and closes at TO. Whichever CPU executes them: where CPUs
 * take turns in one thread, QEMU does not say which it is. At each close a line goes to QEMU's log:
 * TOOK NAME COUNT, the hypervisor's instructions meanwhile. The first time with that COUNT, a line for each of them is before
 * it: ADDRESS WORD, and "io" if it reached a device. All numbers but COUNT are hexadecimal. Declared here is the part of
 * QEMU's plugin interface, version 3 and later, that is needed.
 */

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tb;
struct insn;
struct address;

typedef void on_executed(unsigned int cpu, void *data);
typedef void on_access(unsigned int cpu, uint32_t info, uint64_t address, void *data);
typedef void on_translated(uint64_t id, struct tb *tb);

extern void qemu_plugin_outs(const char *text);
extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, on_translated *callback);
extern size_t qemu_plugin_tb_n_insns(const struct tb *tb);
extern struct insn *qemu_plugin_tb_get_insn(const struct tb *tb, size_t index);
extern uint64_t qemu_plugin_insn_vaddr(const struct insn *insn);
extern size_t qemu_plugin_insn_data(const struct insn *insn, void *target, size_t length);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct insn *insn, on_executed *callback, int flags, void *data);
extern void qemu_plugin_register_vcpu_mem_cb(struct insn *insn, on_access *callback, int flags, int kinds, void *data);
extern struct address *qemu_plugin_get_hwaddr(uint32_t info, uint64_t address);
extern bool qemu_plugin_hwaddr_is_io(const struct address *address);

#define EXPORT __attribute__((visibility("default")))
#define NO_REGISTERS 0
#define READS_AND_WRITES 3
#define WINDOWS 16
#define LONGEST 8192

struct step {
    uint64_t address;
    uint32_t word;
    bool io;
};

struct window {
    char name[32];
    uint64_t from, to;
    bool known[LONGEST];
};

EXPORT int qemu_plugin_version = 3;

static uint64_t low, high;
static struct window windows[WINDOWS];
static size_t window_count;
/* The window that is open, and what was executed in it. */
static struct window *open;
static struct step steps[LONGEST];
static size_t taken;

static void at_from(unsigned int cpu, void *data)
{
    (void)cpu;
    open = data;
    taken = 0;
}

static void at_to(unsigned int cpu, void *data)
{
    struct window *window = open;
    size_t count = taken;
    char text[96];
    (void)cpu;
    if (window != data)
        return;
    open = NULL;
    if (count >= LONGEST)
        return;
    for (size_t index = 0; !window->known[count] && index < count; index++) {
        struct step *step = &steps[index];
        snprintf(text, sizeof text, "%" PRIx64 " %08" PRIx32 "%s\n", step->address, step->word, step->io ? " io" : "");
        qemu_plugin_outs(text);
    }
    window->known[count] = true;
    snprintf(text, sizeof text, "TOOK %s %zu\n", window->name, count);
    qemu_plugin_outs(text);
}

/* The instruction's word travels in the pointer, its address too: an address within the hypervisor fits 32 bits from `low`. */
static void at_step(unsigned int cpu, void *data)
{
    uint64_t both = (uint64_t)(uintptr_t)data;
    (void)cpu;
    if (open && taken < LONGEST)
        steps[taken++] = (struct step){low + (both >> 32), (uint32_t)both, false};
}

static void at_access(unsigned int cpu, uint32_t info, uint64_t address, void *data)
{
    struct address *physical = open ? qemu_plugin_get_hwaddr(info, address) : NULL;
    (void)cpu, (void)data;
    if (physical && taken && qemu_plugin_hwaddr_is_io(physical))
        steps[taken - 1].io = true;
}

static void translated(uint64_t id, struct tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb);
    (void)id;
    for (size_t index = 0; index < count; index++) {
        struct insn *insn = qemu_plugin_tb_get_insn(tb, index);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        uint32_t word = 0;
        for (struct window *window = windows; window < windows + window_count; window++) {
            if (address == window->to)
                qemu_plugin_register_vcpu_insn_exec_cb(insn, at_to, NO_REGISTERS, window);
            if (address == window->from)
                qemu_plugin_register_vcpu_insn_exec_cb(insn, at_from, NO_REGISTERS, window);
        }
        if (address < low || address >= high)
            continue;
        qemu_plugin_insn_data(insn, &word, sizeof word);
        qemu_plugin_register_vcpu_insn_exec_cb(insn, at_step, NO_REGISTERS,
                                               (void *)(uintptr_t)((address - low) << 32 | word));
        qemu_plugin_register_vcpu_mem_cb(insn, at_access, NO_REGISTERS, READS_AND_WRITES, NULL);
    }
}

EXPORT int qemu_plugin_install(uint64_t id, const void *machine, int argc, char **argv)
{
    (void)machine;
    for (int word = 0; word < argc; word++) {
        char *value = strchr(argv[word], '=');
        if (!value)
            continue;
        *value++ = 0;
        if (!strcmp(argv[word], "low")) {
            low = strtoull(value, NULL, 0);
        } else if (!strcmp(argv[word], "high")) {
            high = strtoull(value, NULL, 0);
        } else if (window_count < WINDOWS) {
            struct window *window = &windows[window_count++];
            snprintf(window->name, sizeof window->name, "%s", argv[word]);
            window->from = strtoull(value, &value, 0);
            window->to = strtoull(value + 1, NULL, 0);
        }
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
