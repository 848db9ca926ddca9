/* A plugin of QEMU that counts instructions: how many were executed from each call of one function to the next call of
   another. Built on the host with -shared -fPIC; the prototypes stand here because Debian ships no qemu-plugin.h.

       -plugin file=count.so,begin=ADDRESS,end=ADDRESS,out=FILE      addresses in hexadecimal, of the two functions */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                                  void (*f)(qemu_plugin_id_t, struct qemu_plugin_tb *));
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int add, void *to,
                                                       uint64_t value);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, void (*f)(unsigned, void *),
                                                   int registers, void *user);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;
static uint64_t executed, started, begin_at, end_at;
static FILE *out;

static void begin(unsigned cpu, void *user) {
    (void)cpu, (void)user;
    started = executed;
}
static void end(unsigned cpu, void *user) {
    (void)cpu, (void)user;
    fprintf(out, "%llu\n", (unsigned long long)(executed - started));
    fflush(out);
}
static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t at = qemu_plugin_insn_vaddr(insn);
        if (at == begin_at) qemu_plugin_register_vcpu_insn_exec_cb(insn, begin, 0, NULL);
        if (at == end_at) qemu_plugin_register_vcpu_insn_exec_cb(insn, end, 0, NULL);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, 0 /* add */, &executed, 1);
    }
}
__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                                               char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "begin=", 6)) begin_at = strtoull(argv[i] + 6, NULL, 16) & ~1ull; /* bit 0: Thumb */
        if (!strncmp(argv[i], "end=", 4)) end_at = strtoull(argv[i] + 4, NULL, 16) & ~1ull;
        if (!strncmp(argv[i], "out=", 4)) out = fopen(argv[i] + 4, "w");
    }
    if (!out || !begin_at || !end_at) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
