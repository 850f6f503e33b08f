/* A QEMU plugin that counts how often every block of instructions is executed between two addresses.
 *
 * Arguments: start=ADDRESS end=ADDRESS low=ADDRESS high=ADDRESS, all virtual. Counting begins at reset, and anew at each
 * passage of `start`. At the first passage of `end` a line for each block between `low` and `high` goes to QEMU's log: BLOCK,
 * its address in hexadecimal, its instructions, how often it was executed; then END. For one CPU. Declared here is the
 * part of QEMU's plugin interface, version 2 and later, that is needed.
 */

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tb;
struct insn;

typedef void on_executed(unsigned int cpu, void *data);
typedef void on_translated(uint64_t id, struct tb *tb);

extern void qemu_plugin_outs(const char *text);
extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, on_translated *callback);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct tb *tb, on_executed *callback, int flags, void *data);
extern size_t qemu_plugin_tb_n_insns(const struct tb *tb);
extern struct insn *qemu_plugin_tb_get_insn(const struct tb *tb, size_t index);
extern uint64_t qemu_plugin_tb_vaddr(const struct tb *tb);
extern uint64_t qemu_plugin_insn_vaddr(const struct insn *insn);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct insn *insn, on_executed *callback, int flags, void *data);

#define EXPORT __attribute__((visibility("default")))
#define NO_REGISTERS 0

struct block {
    uint64_t address, count;
    size_t instructions;
    struct block *next;
};

EXPORT int qemu_plugin_version = 2;

static uint64_t start, end, low, high;
static struct block *blocks;
static int done;

static void at_start(unsigned int cpu, void *data)
{
    (void)cpu, (void)data;
    for (struct block *block = blocks; block; block = block->next)
        block->count = 0;
}

static void at_end(unsigned int cpu, void *data)
{
    char text[96];
    (void)cpu, (void)data;
    if (done++)
        return;
    for (struct block *block = blocks; block; block = block->next) {
        snprintf(text, sizeof text, "BLOCK %" PRIx64 " %zu %" PRIu64 "\n", block->address, block->instructions, block->count);
        if (block->count)
            qemu_plugin_outs(text);
    }
    qemu_plugin_outs("END\n");
}

static void at_block(unsigned int cpu, void *data)
{
    (void)cpu;
    ((struct block *)data)->count++;
}

static void translated(uint64_t id, struct tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb);
    uint64_t address = qemu_plugin_tb_vaddr(tb);
    (void)id;
    for (size_t index = 0; index < count; index++) {
        struct insn *insn = qemu_plugin_tb_get_insn(tb, index);
        if (qemu_plugin_insn_vaddr(insn) == start)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, at_start, NO_REGISTERS, NULL);
        if (qemu_plugin_insn_vaddr(insn) == end)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, at_end, NO_REGISTERS, NULL);
    }
    if (address >= low && address < high) {
        struct block *block = calloc(1, sizeof *block);
        *block = (struct block){address, 0, count, blocks};
        blocks = block;
        qemu_plugin_register_vcpu_tb_exec_cb(tb, at_block, NO_REGISTERS, block);
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
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
