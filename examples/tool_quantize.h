/* tool_quantize.h - what `quantize` has around cq_quantize_model: samples, activations in a file, journals

   tool_calibrate.c  the samples: windows of a text, masks, --balance; how much memory it takes
   tool_journal.c    what is finished so far, for --resume; activations in a file (--spill) */
#ifndef TOOL_QUANTIZE_H
#define TOOL_QUANTIZE_H

#include "tool_write.h"

/* ===================================================================================================================
   [CALIBRATION]
   ================================================================================================================== */
/* What --calib or --calib-ids, --samples, --seq-len and --balance say: ids, samples and seq_len of desc; and what the
   options about experts and memory do. */
void tool_calibration(tool_model *t, const cq_context *ctx, cq_quantize_desc *desc);
#define TOOL_CALIBRATION_OPTIONS                                                                                       \
    {"calib", "FILE", 0, 0, "text to calibrate on"},                                                                   \
    {"calib-ids", "IDS.npy", 0, 0, "ids to calibrate on: 1-D, cut into windows, or one sample a row"},                 \
    TOOL_PROMPT_OPTIONS,                                                                                               \
    {"samples", "N", 1, 1 << 24, "windows to calibrate on (128)"},                                                     \
    {"seq-len", "N", 1, 1 << 24, "tokens in a window (512)"},                                                          \
    {"correct", "X", 0, 1, "share of what earlier layers did to a linear's input that its weights make up for (0.25)"}, \
    {"balance", NULL, 0, 0, "more windows while experts lack tokens: half of an even share, or --min-tokens"},         \
    {"min-tokens", "N", 1, 1 << 30, "an expert that sees fewer is starved (twice its inputs; for down 8 times)"},      \
    {"starved", "all|rtn", 0, 0, "which take the Hessian of all tokens, or are rounded to nearest (all)"},             \
    {"routing-weight", "0|1|2", 0, 0, "power of the routing weight that tokens have in an expert's Hessian (1)"},      \
    {"hessian-memory", "N", 1, 1 << 24, "megabytes for the Hessians of experts that are summed up at once (256)"},     \
    {"low-memory", NULL, 0, 0, "activations between blocks in bf16 instead of float"},                                 \
    {"spill", "PATH", 0, 0, "activations between blocks in a file of this name, or in this directory"},                \
    {"resume", NULL, 0, 0, "go on after the last finished layer of a run that was killed (OUT.resume)"},               \
    {"no-journal", NULL, 0, 0, "do not keep OUT.resume, with which a killed run can go on"}

/* Most memory that quantising should have resident: what the process has now, the arena, a unit's weights as they are
   mapped, and the buffers of the writer. */
size_t tool_quantize_bound(const tool_model *t, const cq_quantize_desc *desc, const tool_parts *p, size_t arena_bytes);

/* ===================================================================================================================
   [SPILL]  activations in a file that has no name any more: it goes when the tool ends, however it ends
   ================================================================================================================== */
typedef struct tool_spill tool_spill;
tool_spill *tool_spill_open(const char *path, uint64_t bytes); /* path: a directory, or a file that is not there */
bool tool_spill_read(tool_spill *s, uint64_t offset, void *data, size_t bytes);
bool tool_spill_write(tool_spill *s, uint64_t offset, const void *data, size_t bytes);
void tool_spill_close(tool_spill *s);

/* ===================================================================================================================
   [JOURNAL]  TARGET.resume: a directory beside the target, removed when that is complete

   modules  what run this is (text, a line for each thing that makes a difference, checksums of all inputs), then a
            record for each finished linear: codes, grids, report, checksum
   state    the activations after the last finished layer, how many bytes of `modules` count, checksums; written under
            another name and renamed, so that there always is a whole one
   pid      whose it is: what a killed run has begun to write, TARGET.part-PID, is removed by the next one
   Both are of the machine and the version that wrote them. A linear is handed out again from its codes and grids, so
   that every format of the output goes on in the same way.
   ================================================================================================================== */
typedef struct tool_journal tool_journal;
/* NULL: none is kept (rtn, --no-journal, a target that is no file). With --resume and a journal of this very run: sets
   next, finished and finished_count of desc. */
tool_journal *tool_journal_open(const char *target, const tool_model *t, cq_quantize_desc *desc, tool_spill *spill);
void tool_journal_add(tool_journal *j, const cq_module *module, const cq_model *m); /* not of what is restored */
bool tool_journal_checkpoint(tool_journal *j, size_t next, const void *acts);
bool tool_journal_restore(tool_journal *j, size_t index, cq_module *module, const cq_gptq_result *into);
bool tool_journal_restore_acts(tool_journal *j, void *acts);
void tool_journal_done(tool_journal *j); /* the target is complete */

#endif
