/* A QEMU plugin that counts executed instructions up to certain points: unlike the clock, it leaves idle time out.
 *
 * Arguments: mark=ADDRESS, any number of times; low=ADDRESS high=ADDRESS; all virtual. At every passage of a mark a line goes
 * to QEMU's log: PASSED, its address in hexadecimal, how many were executed since reset, and how many of them stood between
 * `low` and `high`. With uart=ADDRESS (physical) what is stored there is read along, and SAID COUNT is logged when the
 * six characters `said=` have been written. For one CPU. Declared here is the part of QEMU's plugin interface, version 4,
 * that is needed.
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
struct scoreboard;
struct address;

struct counter {
    struct scoreboard *score;
    size_t offset;
};

struct value {
    int kind;
    union {
        uint8_t byte;
        uint64_t whole[2];
    } data;
};

typedef void on_executed(unsigned int cpu, void *data);
typedef void on_access(unsigned int cpu, uint32_t info, uint64_t address, void *data);
typedef void on_translated(uint64_t id, struct tb *tb);

extern void qemu_plugin_outs(const char *text);
extern struct scoreboard *qemu_plugin_scoreboard_new(size_t size);
extern uint64_t qemu_plugin_u64_sum(struct counter counter);
extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, on_translated *callback);
extern size_t qemu_plugin_tb_n_insns(const struct tb *tb);
extern struct insn *qemu_plugin_tb_get_insn(const struct tb *tb, size_t index);
extern uint64_t qemu_plugin_insn_vaddr(const struct insn *insn);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct insn *insn, on_executed *callback, int flags, void *data);
extern void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct insn *insn, int operation, struct counter entry,
                                                                uint64_t value);
extern void qemu_plugin_register_vcpu_mem_cb(struct insn *insn, on_access *callback, int flags, int kinds, void *data);
extern struct address *qemu_plugin_get_hwaddr(uint32_t info, uint64_t address);
extern uint64_t qemu_plugin_hwaddr_phys_addr(const struct address *address);
extern struct value qemu_plugin_mem_get_value(uint32_t info);

#define EXPORT __attribute__((visibility("default")))
#define NO_REGISTERS 0
#define WRITES 2
#define ADD 0
#define MARKS 8
#define LETTERS 6

EXPORT int qemu_plugin_version = 4;

static uint64_t marks[MARKS], low, high, uart;
static size_t mark_count;
static struct counter all, inside;
static char awaited[LETTERS + 1], said[LETTERS + 1];

static void at_mark(unsigned int cpu, void *data)
{
    char text[96];
    (void)cpu;
    snprintf(text, sizeof text, "PASSED %" PRIx64 " %" PRIu64 " %" PRIu64 "\n", *(uint64_t *)data, qemu_plugin_u64_sum(all),
             qemu_plugin_u64_sum(inside));
    qemu_plugin_outs(text);
}

static void at_store(unsigned int cpu, uint32_t info, uint64_t address, void *data)
{
    struct address *physical = qemu_plugin_get_hwaddr(info, address);
    char text[96];
    (void)cpu, (void)data;
    if (!physical || qemu_plugin_hwaddr_phys_addr(physical) != uart)
        return;
    memmove(said, said + 1, LETTERS - 1);
    said[LETTERS - 1] = (char)qemu_plugin_mem_get_value(info).data.byte;
    if (strcmp(said, awaited))
        return;
    snprintf(text, sizeof text, "SAID %" PRIu64 "\n", qemu_plugin_u64_sum(all));
    qemu_plugin_outs(text);
}

static void translated(uint64_t id, struct tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb);
    (void)id;
    for (size_t index = 0; index < count; index++) {
        struct insn *insn = qemu_plugin_tb_get_insn(tb, index);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        for (size_t mark = 0; mark < mark_count; mark++)
            if (address == marks[mark])
                qemu_plugin_register_vcpu_insn_exec_cb(insn, at_mark, NO_REGISTERS, &marks[mark]);
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, ADD, all, 1);
        if (address >= low && address < high)
            qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, ADD, inside, 1);
        if (uart)
            qemu_plugin_register_vcpu_mem_cb(insn, at_store, NO_REGISTERS, WRITES, NULL);
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
        if (!strcmp(argv[word], "mark") && mark_count < MARKS)
            marks[mark_count++] = strtoull(value, NULL, 0);
        else if (!strcmp(argv[word], "low"))
            low = strtoull(value, NULL, 0);
        else if (!strcmp(argv[word], "high"))
            high = strtoull(value, NULL, 0);
        else if (!strcmp(argv[word], "uart"))
            uart = strtoull(value, NULL, 0);
        else if (!strcmp(argv[word], "said"))
            snprintf(awaited, sizeof awaited, "%s", value);
    }
    all = (struct counter){qemu_plugin_scoreboard_new(sizeof(uint64_t)), 0};
    inside = (struct counter){qemu_plugin_scoreboard_new(sizeof(uint64_t)), 0};
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
