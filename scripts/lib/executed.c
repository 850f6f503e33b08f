/* A QEMU plugin that counts executed instructions between two addresses: unlike the clock, it leaves idle time out.
 *
 * Arguments: start=ADDRESS end=ADDRESS low=ADDRESS high=ADDRESS, all virtual. The last passage of `start` before `end`
 * counts. At the first passage of `end` one line goes to QEMU's log: how many were executed since, and how many of them
 * stood between `low` and `high`. For one CPU. Declared here is the part of QEMU's plugin interface, version 2 and
 * later, that is needed.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tb;
struct insn;
struct scoreboard;

struct counter {
    struct scoreboard *score;
    size_t offset;
};

typedef void on_executed(unsigned int cpu, void *data);
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

#define EXPORT __attribute__((visibility("default")))
#define NO_REGISTERS 0
#define ADD 0

EXPORT int qemu_plugin_version = 2;

static uint64_t start, end, low, high;
static struct counter all, inside;
static uint64_t all_before, inside_before;
static int done;

static void at_start(unsigned int cpu, void *data)
{
    (void)cpu, (void)data;
    all_before = qemu_plugin_u64_sum(all);
    inside_before = qemu_plugin_u64_sum(inside);
}

static void at_end(unsigned int cpu, void *data)
{
    char text[96];
    (void)cpu, (void)data;
    if (done)
        return;
    done = 1;
    snprintf(text, sizeof text, "EXECUTED %llu INSIDE %llu\n",
             (unsigned long long)(qemu_plugin_u64_sum(all) - all_before),
             (unsigned long long)(qemu_plugin_u64_sum(inside) - inside_before));
    qemu_plugin_outs(text);
}

static void translated(uint64_t id, struct tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb);
    (void)id;
    for (size_t index = 0; index < count; index++) {
        struct insn *insn = qemu_plugin_tb_get_insn(tb, index);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        if (address == start)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, at_start, NO_REGISTERS, NULL);
        if (address == end)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, at_end, NO_REGISTERS, NULL);
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, ADD, all, 1);
        if (address >= low && address < high)
            qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, ADD, inside, 1);
    }
}

EXPORT int qemu_plugin_install(uint64_t id, const void *machine, int argc, char **argv)
{
    static const struct { const char *name; uint64_t *value; } known[] = {
        {"start=", &start}, {"end=", &end}, {"low=", &low}, {"high=", &high},
    };
    (void)machine;
    for (int word = 0; word < argc; word++)
        for (size_t index = 0; index < sizeof known / sizeof *known; index++)
            if (!strncmp(argv[word], known[index].name, strlen(known[index].name)))
                *known[index].value = strtoull(argv[word] + strlen(known[index].name), NULL, 0);
    all = (struct counter){qemu_plugin_scoreboard_new(sizeof(uint64_t)), 0};
    inside = (struct counter){qemu_plugin_scoreboard_new(sizeof(uint64_t)), 0};
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
