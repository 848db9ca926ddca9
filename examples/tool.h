/* tool.h - what the parts of the host tool share

   The headers of cquant never touch an operating system; this tool does it for them: files, threads, the terminal.
   A command is a function and a table of its options (tool_command). It runs to its end or calls tool_fail, which
   prints one line, removes what was half written and exits: so a command reads top to bottom, without cleaning up.

   tool_io.c     errors, memory, files, outputs, .npy, JSON, threads, progress
   tool_streams.c  models with two streams: open_model.yaml, codebook.npy, --text-embeds
   tool_model.c  MODEL: directories of Hugging Face, .cq files; tokenizer, sessions, ids
   tool_policy.c mixed precision: configurations, formats by sensitivity (tool_write.h)
   tool_write.c  parts, files, config.json of models that are written (tool_write.h)
   tool_calibrate.c, tool_journal.c  samples, and what a killed run leaves behind (tool_quantize.h)
   tool_checkpoint.c  GPTQ and compressed-tensors, written
   cquant.c      options and main
   cmd_*.c       the commands */
#ifndef TOOL_H
#define TOOL_H

#include "cquant_models.h"
#include <stdio.h>

/* ===================================================================================================================
   [OPTIONS]
   ================================================================================================================== */
typedef struct tool_option {
    const char *name;  /* without dashes; "o" is -o and --output */
    const char *value; /* "N" a whole number, "X" a number, "a|b" one of these words, other text: anything; NULL: a flag */
    double min, max;   /* of N and X; both 0: N >= 0, X any */
    const char *help;
} tool_option;

typedef struct tool_command {
    const char *name, *args /* "MODEL" */, *help;
    size_t args_min, args_max;
    const tool_option *options; /* ends with name NULL */
    void (*run)(void);          /* returning is success; tool_fail and tool_usage do not return */
} tool_command;

typedef struct tool_settings {
    const tool_command *command;
    const char **args; /* what is no option */
    size_t arg_count;
    bool json, quiet, force;
    size_t threads;
    uint64_t seed;
    const char *isa; /* NULL: the best */
} tool_settings;
extern tool_settings tool;

/* Values of the running command's options; name must stand in its table. */
bool tool_has(const char *name);
const char *tool_text(const char *name, const char *otherwise);
int64_t tool_int(const char *name, int64_t otherwise);
size_t tool_size(const char *name, size_t otherwise);
double tool_real(const char *name, double otherwise);
const char *tool_need(const char *name); /* exit 2 if it is not given */

/* ===================================================================================================================
   [ERRORS]
   ================================================================================================================== */
#ifdef __GNUC__
#define TOOL_PRINTF(a, b) __attribute__((format(printf, a, b)))
#define TOOL_NORETURN __attribute__((noreturn))
#else
#define TOOL_PRINTF(a, b)
#define TOOL_NORETURN
#endif
/* `cquant: error: FILE: text` on one line, unfinished outputs removed, exit 1. file NULL: none. */
TOOL_NORETURN void tool_fail(const char *file, const char *format, ...) TOOL_PRINTF(2, 3);
TOOL_NORETURN void tool_fail_error(const char *file, const cq_error *err);
void tool_on_failure(void (*clean)(void)); /* called once by the first tool_fail; NULL: no longer. Not by signals */
TOOL_NORETURN void tool_usage(const char *format, ...) TOOL_PRINTF(1, 2); /* exit 2 */
void tool_check(cq_status status, const char *file, const cq_error *err); /* tool_fail_error unless CQ_OK */

/* ===================================================================================================================
   [MEMORY, TIME]
   ================================================================================================================== */
void *tool_alloc(size_t count, size_t size); /* zeroed, at a multiple of 64; free with free(); fails by itself */
cq_arena tool_arena(size_t bytes);           /* over tool_alloc; free with free(arena.base) */
char *tool_format(const char *format, ...) TOOL_PRINTF(1, 2); /* a new string */
size_t tool_peak_bytes(void);                /* most memory that this process had resident */
size_t tool_resident_bytes(void);            /* what it has now; 0: the system does not say */
double tool_seconds(void);                   /* a clock that only goes forward */

/* ===================================================================================================================
   [FILES]
   ================================================================================================================== */
typedef struct tool_file {
    const char *path;
    const unsigned char *data; /* mapped read-only until the tool ends; not NULL even if empty */
    size_t size;
    bool mapped;               /* false: from a pipe or a device, in memory */
} tool_file;
tool_file tool_map(const char *path);
void tool_forget_file(const tool_file *f); /* it stays mapped, but its pages need not stay in memory: all was read */
bool tool_exists(const char *path);
bool tool_is_dir(const char *path);
char *tool_join(const char *dir, const char *name);

/* Outputs are written under a temporary name beside the target and renamed by tool_close. Whatever ends the tool before
   (tool_fail, SIGINT, SIGTERM, SIGHUP) removes them. A target that is a device or pipe is written as it is. */
typedef struct tool_out {
    char *path, *temp; /* temp NULL: written in place */
    FILE *f;
} tool_out;
tool_out *tool_create(const char *path);
void tool_write(tool_out *out, const void *data, size_t bytes);
void tool_write_floats(tool_out *out, const float *x, size_t n);   /* little-endian, as .npy and safetensors want them */
void tool_write_doubles(tool_out *out, const double *x, size_t n);
void tool_print(tool_out *out, const char *format, ...) TOOL_PRINTF(2, 3);
void tool_seek(tool_out *out, uint64_t offset); /* regular files only */
void tool_read_back(tool_out *out, uint64_t offset, void *data, size_t bytes); /* what was written; temp not NULL */
void tool_close(tool_out *out);                 /* frees out */

/* A directory as output: files are created in tool_dir_file(dir, name); tool_dir_close renames the whole. An existing
   target is an error, unless --force: then it is replaced at the end. Checks at once, before any work is done. */
typedef struct tool_dir {
    char *path, *temp;
} tool_dir;
tool_dir *tool_dir_create(const char *path);
char *tool_dir_file(const tool_dir *dir, const char *name); /* a path to give to tool_create or tool_npy_create */
void tool_dir_copy(const tool_dir *dir, const char *from_dir, const char *name); /* if it exists there */
void tool_dir_close(tool_dir *dir);
void tool_dir_remove(const char *path); /* with the files in it; a note if that fails */

/* ===================================================================================================================
   [NPY]  NumPy's arrays: version 1 or 2, little-endian, C order
   ================================================================================================================== */
typedef enum tool_dtype { TOOL_BOOL, TOOL_U8, TOOL_I32, TOOL_I64, TOOL_F32, TOOL_F64 } tool_dtype;
typedef struct tool_npy {
    const char *path;
    tool_dtype dtype;
    size_t ndim, shape[8], count;
    const unsigned char *data; /* in the mapped file */
} tool_npy;
tool_npy tool_npy_read(const char *path);
const char *tool_dtype_name(tool_dtype dtype);
float *tool_npy_floats(const tool_npy *a);   /* a new array of count floats; from F32 or F64 */
double *tool_npy_doubles(const tool_npy *a); /* the same */
int32_t *tool_npy_ints(const tool_npy *a);   /* from I32 or I64; a value beyond int32 is an error that names it */
tool_out *tool_npy_create(const char *path, tool_dtype dtype, size_t ndim, const size_t *shape); /* then tool_write */

/* ===================================================================================================================
   [JSON]  written into memory, printed by main when the command has succeeded. key NULL inside of arrays.
   ================================================================================================================== */
void json_open(const char *key, char bracket); /* '{' or '['; main opens and closes the outermost object itself */
void json_close(void);
void json_text(const char *key, const char *text);
void json_bytes(const char *key, const char *text, size_t len); /* what is no UTF-8 becomes U+FFFD */
void json_int(const char *key, int64_t value);
void json_real(const char *key, double value); /* null if it is not finite */
void json_bool(const char *key, bool value);
void json_null(const char *key);
void json_ids(const char *key, const int32_t *ids, size_t n);
char *tool_json_text(const char *text); /* as a JSON string, with its quotes; NULL: "null". For free() */
/* For people, on stdout: printed only without --json. */
void tool_say(const char *format, ...) TOOL_PRINTF(1, 2);
/* While on, nothing is said, neither for people nor in JSON: work on trial. At the same depth of JSON on and off. */
void tool_mute(bool on);
/* A remark on stderr, not with --quiet. */
void tool_note(const char *format, ...) TOOL_PRINTF(1, 2);

/* ===================================================================================================================
   [THREADS, PROGRESS]
   ================================================================================================================== */
void tool_context(cq_context *ctx);                       /* --isa, --threads */
void tool_progress(const char *label, size_t done, size_t total); /* as often as you like; done == total ends it */
bool tool_live(void); /* stdout is a terminal and neither --json nor --quiet is given */

/* ===================================================================================================================
   [MODELS]
   ================================================================================================================== */
typedef struct tool_model {
    const char *path;
    bool is_file;            /* a .cq file */
    cq_file file;            /* of a .cq file */
    tool_file config;        /* text of config.json (of a .cq file: that section) */
    tool_file arch;          /* the description: of --arch, else of the .cq file; size 0: the built-in one */
    tool_file *shards;       /* cq_named.file is the index; of a .cq file: the file */
    size_t shard_count;
    cq_weights weights;
    cq_model m;
    cq_tokenizer tok;        /* tok.blob NULL until tool_model_tokenizer */
    size_t blob_bytes;
} tool_model;

void tool_model_open(tool_model *t, const char *path);
void tool_model_open_like(tool_model *t, const char *path, const tool_model *like); /* by the description of that one */
/* Without waiting for the checksum of a .cq file, which is taken by a thread of its own meanwhile. tool_model_checked
   waits for it, and fails if the file is damaged: to be called before anything that was computed is shown. */
void tool_model_open_early(tool_model *t, const char *path);
void tool_model_checked(const tool_model *t);
void tool_forget(const tool_model *t); /* tool_forget_file of its shards: weights that were read once */
/* The first half: no weights, for what only needs the tokenizer. */
void tool_model_locate(tool_model *t, const char *path);
/* The description in a file of its own, parsed; what is wrong in it is an error at line and column. */
tool_file tool_arch_read(const char *path, cq_arch *arch);
#define TOOL_ARCH_OPTION                                                                                               \
    {"arch", "FILE", 0, 0, "a description of the architecture instead of the built-in one (`cquant models --show`)"}
/* The tokenizer, made on first use. NULL if the model has no tokenizer files and need is false. */
const cq_tokenizer *tool_model_tokenizer(tool_model *t, bool need);
/* err of something done with this model: names the shard, config.json or the directory, as err says. */
TOOL_NORETURN void tool_model_fail(const tool_model *t, const cq_error *err);
void tool_model_check(const tool_model *t, cq_status status, const cq_error *err);

/* How `export` stores a part, and so what `inspect` counts: vectors in fp32, matrices in the format asked for, but the
   embedding, positions and the head never below int8, as they are read at every token and suffer most, and linears that
   are never quantised (routers) as float. */
void tool_export_tensor(cq_tensor *t, const cq_part *part, cq_format format, size_t group_size);

/* A session with its memory. Returns the bytes of its arenas; *base is for free(). */
size_t tool_session(cq_session *s, const cq_context *ctx, const tool_model *t, const cq_session_desc *desc,
                    void **base);
/* Only counts; hot and cold (may be NULL): what activations and the cache take of it. */
size_t tool_session_bytes(const cq_context *ctx, const tool_model *t, const cq_session_desc *desc, size_t *hot,
                          size_t *cold);

/* Ids of an .npy file, 1-D (rows = 1) or 2-D; those outside of the vocabulary are an error with position and value.
   *dims: 1 or 2. */
int32_t *tool_ids(const tool_model *t, const char *path, size_t *rows, size_t *cols, size_t *dims);
int32_t *tool_encode(tool_model *t, const char *path /* for errors */, const char *text, size_t len, size_t *n);
char *tool_decode(const cq_tokenizer *tok, const int32_t *ids, size_t n, size_t *len); /* zero-terminated too */
int32_t tool_mask_id(const tool_model *t); /* fails if the model has none */

/* Rows of logits in memory at once: about 16 MB, and at least one. */
size_t tool_logit_tile(const tool_model *t, size_t rows);

/* Sums over predicted tokens: -log of their probability; KL divergence from a reference (NULL: none) and whether both
   think the same token likeliest. */
typedef struct tool_gauge {
    const cq_context *ctx;
    const tool_model *t, *ref;
    cq_session s, rs;
    void *base, *ref_base;
    size_t tile, rows; /* rows: tokens predicted so far */
    float *y, *z;      /* (tile, vocab) logits */
    double *each[3];   /* (tile) */
    double nll, kl, same;
} tool_gauge;
void tool_gauge_open(tool_gauge *g, const cq_context *ctx, const tool_model *t, const tool_model *ref,
                     const cq_session_desc *desc /* the reference is not rounded */);
/* One window: row at[i] predicts target[i], i < m. */
void tool_gauge_add(tool_gauge *g, const int32_t *ids, size_t n, const uint32_t *at, const int32_t *target, size_t m);
/* For a model that is changed between the two, at most g->tile rows at once and no other reference: what it makes of
   this window now becomes the reference; and the same rows of what the session has run since are added. */
void tool_gauge_hold(tool_gauge *g, const int32_t *ids, size_t n, const uint32_t *at, size_t m);
void tool_gauge_judge(tool_gauge *g, const uint32_t *at, const int32_t *target, size_t m);
void tool_gauge_close(tool_gauge *g);
/* How many consecutive windows n ids give, counting a shorter last one; at most `limit` (0: all). */
size_t tool_windows(size_t n, size_t window, size_t limit);

/* The options that `quantize` and `solve` share, for their tables, and what they say. */
#define TOOL_GPTQ_OPTIONS                                                                                              \
    {"method", "gptq|rtn", 0, 0, "how to round: GPTQ, or to nearest"},                                                 \
    {"bits", "2|3|4|8", 0, 0, "bits of a weight (4): --wq int4 and so on"},                                            \
    {"wq", "FORMAT", 0, 0, "int2, int3, int4, int8, fp8, mxfp8, mxfp6 (mxfp6_e2m3), mxfp6_e3m2, mxfp4"},               \
    {"group-size", "N", -1, 1 << 30, "columns that share a scale; -1: the whole row (128; mx formats 32, fp8 -1)"},    \
    {"sym", NULL, 0, 0, "the middle code means 0 (default)"},                                                          \
    {"asym", NULL, 0, 0, "a zero point for each group"},                                                               \
    {"act-order", NULL, 0, 0, "groups follow the order of processing (g_idx)"},                                        \
    {"damp", "X", 1e-6, 1, "part of the Hessian's mean diagonal added to its diagonal (0.01)"},                        \
    {"order", "static|natural|groups", 0, 0, "large columns first; left to right; large groups first (static)"},       \
    {"static-groups", NULL, 0, 0, "all scales from the original weights (natural, groups)"},                           \
    {"search", "pivots|diagonal|uniform|minmax|floor", 0, 0, "what the scales minimise (pivots), or what they cover"}, \
    {"sweeps", "N", 0, 1000, "of coordinate descent afterwards; 0: no second look within the pass either"},            \
    {"refit", NULL, 0, 0, "fit the scales to the final codes, as each sweep does"}
void tool_gptq_options(cq_gptq_desc *desc, bool *rtn);
/* A format with codes by the name that options and configurations have for it; CQ_FORMAT_COUNT: there is none. */
cq_format tool_coded_format(const char *name, size_t len);

/* Models with two streams. The inputs of the text stream: --text-embeds (option names it) of `batch` rows, and --bbox if
   the model takes one (box false: zeros). All NULL and 0 for other models; given there, the options are errors. */
typedef struct tool_prompt {
    float *text, *box; /* (batch, rows, width), (batch, 3) */
    size_t rows, slots; /* of text; of cache: one more with a box */
} tool_prompt;
tool_prompt tool_prompt_read(const tool_model *t, size_t batch, const char *option, bool box);
void tool_prompt_forward(cq_session *s, const tool_model *t, const tool_prompt *x, size_t row);
tool_file tool_yaml_config(const char *path); /* open_model.yaml as JSON */
/* Any YAML (or JSON) as JSON; `should` is the error if it is no mapping. */
tool_file tool_yaml(const char *path, const char *should);
void tool_fold_codebook(tool_model *t);       /* codebook.npy beside the model, if there is one */
#define TOOL_PROMPT_OPTIONS                                                                                            \
    {"text-embeds", "T.npy", 0, 0, "two streams: float32 [batch, rows, width], the text stream"},                      \
    {"bbox", "B.npy", 0, 0, "two streams: float32 [batch, 3], its box, for models that take one"}

/* ===================================================================================================================
   [ROTATIONS]  plans by the words of the command line; their memory stays until the tool ends
   ================================================================================================================== */
/* config: "auto", "auto:N" (in blocks of N channels), a built-in configuration, or a file, YAML or (NAME.json) JSON.
   matrices: a directory of NAME.npy, NAME.LAYER.npy that take the places of those of the plan; NULL: none. */
void tool_rotation(cq_rotate_plan *plan, const cq_context *ctx, const tool_model *t, const char *config,
                   const char *matrices);
bool tool_rotation_is_file(const char *config);
tool_dir *tool_save_matrices(const cq_rotate_plan *plan, const cq_model *m); /* --save-matrices; NULL: not given */
/* What --online says ("r4", "r3,r4:32"), added to a plan, or to an empty one. false: it is no such text. */
bool tool_online(cq_rotate_plan *plan, const cq_context *ctx, const tool_model *t, const char *text);
#define TOOL_ONLINE_HELP "r3, r4, or r3,r4; each may have an order: r4:32"
/* --rotate, --matrices and --online, together or alone; NULL: none is given. */
const cq_rotate_plan *tool_rotation_options(cq_rotate_plan *plan, const cq_context *ctx, const tool_model *t);
#define TOOL_ROTATION_OPTIONS                                                                                          \
    {"rotate", "CONFIG", 0, 0, "rotate first, as `rotate --config` does"},                                             \
    TOOL_MATRICES_OPTION,                                                                                              \
    {"online", "r3,r4", 0, 0, "Hadamard rotations at run time, r4 before down, r3 of queries and keys; r4:N of order N"}
#define TOOL_MATRICES_OPTION                                                                                           \
    {"matrices", "DIR", 0, 0, "matrices made elsewhere: NAME.npy, and NAME.LAYER.npy of what each layer has (r1, r2)"}
/* For people and as JSON: what a plan turned, what a configuration left open, and what does not turn and why. */
void tool_report_rotations(const cq_rotate_plan *plan, const cq_model *m);
void tool_report_r1(const cq_rotate_plan *plan, const cq_model *m); /* streams that do not turn */
/* Entries of "rotations" for online ones of a plan (may be NULL), and for those that the model has already. */
void tool_report_online(const cq_model *m, const cq_rotate_plan *plan);

/* The commands. */
extern const tool_command cmd_models, cmd_inspect, cmd_matrix, cmd_solve;            /* cmd_study.c */
extern const tool_command cmd_logits, cmd_eval, cmd_generate, cmd_tokenize;          /* cmd_run.c */
extern const tool_command cmd_rotate, cmd_export;                                    /* cmd_build.c */
extern const tool_command cmd_quantize;                                              /* cmd_quantize.c */
extern const tool_command cmd_plot;                                                  /* cmd_plot.c */

#endif
