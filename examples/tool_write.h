/* tool_write.h - writing models: parts, files, config.json (see tool.h; cmd_build.c and cmd_quantize.c use it)

   The commands that write a model walk the list of parts that the architecture's description gives (cq_model_part), plan
   where each has its place in the output, and write one at a time, in any order, as quantising hands experts out one by
   one. They differ in what they do to a part on the way. */
#ifndef TOOL_WRITE_H
#define TOOL_WRITE_H

#include "tool.h"

/* ===================================================================================================================
   [PARTS]  and the tensors of the output that hold them

   A .cq file has a tensor for each part, (out, in), under the part's own name. A directory has the tensors of the
   checkpoint: a part may be one of several slices (experts) of a tensor, and stored transposed.
   ================================================================================================================== */
typedef enum tool_style { TOOL_FLOATS, TOOL_GPTQ, TOOL_COMPRESSED } tool_style;
typedef struct tool_coded { /* how a checkpoint of codes holds a linear */
    cq_format format;   /* CQ_F32: as floats */
    size_t group_size;  /* as asked for; 0: the whole row */
    bool asym;
} tool_coded;

typedef struct tool_parts {
    bool hf;         /* as the checkpoint has them */
    tool_style style; /* in a directory, see [CHECKPOINTS] */
    tool_coded *coded; /* (count) */
    bool act_groups; /* groups are runs of permuted columns */
    cq_part *part;   /* (count) */
    size_t *tensor;  /* (count) the tensor that holds it, of a coded part the first of several */
    bool *written;   /* (count) */
    cq_tensor *round; /* (count) in a directory: rounded to this on the way; rows = 0: not */
    size_t count;
    cq_named *named; /* (tensors): what the output calls them and how it stores them */
    size_t tensors;
    size_t left_out; /* tensors of a front end, which .cq files do not have */
    size_t *base;    /* (blocks) linears of the blocks before */
    size_t *linear;  /* (linears of all blocks) 1 + the part */
} tool_parts;

/* hf: for a directory; else for a .cq file */
tool_parts tool_parts_of(const tool_model *t, const cq_rotate_plan *plan, bool hf);
/* The part of a linear; NULL if another block came with the same tensor. */
const cq_part *tool_part_of(const tool_parts *p, const cq_model *m, const cq_block *b, const cq_linear *l);
/* How the tensor of a part is stored. Carried tensors stay as they are. */
void tool_store_as(tool_parts *p, size_t i, cq_format format, cq_layout layout, size_t group_size, bool asym);
/* The float format in which the checkpoint stores this tensor; quantised ones and new ones: `otherwise`. */
cq_format tool_stored_format(const cq_part *part, cq_format otherwise);

/* ===================================================================================================================
   [POLICIES]  mixed precision, as --config has it
   ================================================================================================================== */
/* A file, {"default": {"wq": "int4"}, "overrides": [{"pattern": "*.o_proj", "wq": "int8"}]} or a plan by the names of
   modules, or the name of a built-in configuration. format_given: does the command line say what a module without a
   "wq" becomes? */
cq_policy *tool_policy_read(const char *config, bool format_given);
/* Does a rule with a pattern name this part? Then its choice is resolved. */
bool tool_policy_names(cq_policy *policy, const cq_part *part, cq_policy_choice *choice);
/* Notes on patterns that match nothing, or nothing that is quantised. */
void tool_policy_warn(const cq_policy *policy, const char *config, const tool_parts *p);
/* --target-bits: a format for each module, by what the model loses with that one module quantised. */
#define TOOL_LADDER 8
typedef struct tool_ladder {
    size_t count;
    cq_format format[TOOL_LADDER]; /* with codes; from the fewest bits to the most */
    cq_gptq_desc gptq;             /* group_size and asym, of integers and fp8 */
    cq_format probe;               /* what `quantised` is in; one of them */
    tool_model *quantised, *base;  /* all modules; none of them. Both rotated, or none */
    const int32_t *ids;            /* (samples, seq_len), masks in place */
    size_t samples, seq_len;
} tool_ladder;
/* "int3,int4,int8" into count and format; NULL: int2,int3,int4,int8. probe: the most bits that the target allows. */
void tool_ladder_read(tool_ladder *l, const char *words, double bits);
cq_policy *tool_policy_target(tool_ladder *l, const cq_context *ctx, double bits); /* says what it chose */
/* The policy in the grammar of --config; group_size and asym go into its default. For free(). */
char *tool_policy_text(const cq_policy *policy, const cq_gptq_desc *gptq);
size_t tool_module_len(const cq_part *part); /* of its name without .weight */
const char *tool_why_kept(const cq_linear *l); /* in high precision */

/* ===================================================================================================================
   [OUTPUTS]  a .cq file, or safetensors in a directory; tensors are written at their places, in any order
   ================================================================================================================== */
#define TOOL_SHARD_BYTES 5000000000u /* as transformers cuts */
typedef struct tool_buffer {
    void *data;
    size_t size;
} tool_buffer;
typedef struct tool_writer {
    tool_out *out;
    const char *path; /* for errors */
    bool cq;
    tool_parts *p;
    cq_file_layout layout;
    tool_out **shard; /* safetensors: (shards) files; an offset counts through all of them, as if they were one */
    uint64_t *begin;  /* (shards + 1) of each file */
    size_t shards;
    uint64_t *offset; /* (tensors) */
    uint64_t section_bytes[CQ_SECTION_COUNT];
    cq_checksum sum; /* of the data of a .cq file before `summed`; void if something there was written again */
    uint64_t summed;
    bool again;
    cq_arena arena;
    tool_buffer wide, narrow, bytes; /* kept from part to part */
    bool double_16; /* rotate in double also what is stored in 16 bits, where float makes no difference to speak of */
} tool_writer;
tool_writer *tool_write_cq(const char *path, tool_parts *p, tool_model *t, const cq_rotate_plan *plan,
                           const char *config, size_t config_len);
/* model.safetensors; what is larger than shard_bytes: several files and model.safetensors.index.json. */
tool_writer *tool_write_safetensors(const tool_dir *dir, tool_parts *p, const tool_model *t, uint64_t shard_bytes);
uint64_t tool_place_of(const tool_writer *w, size_t i); /* where the bytes of a part begin */
void tool_put_at(tool_writer *w, uint64_t offset, const void *bytes, size_t n);
/* Rows of a part, x or wide (the other is NULL), in the format of the output, at *place, which is moved on; rows a
   multiple of 16 but at the end. A transposed part is given whole, as x. */
void tool_put_rows(tool_writer *w, const cq_context *ctx, size_t i, const float *x, const double *wide, size_t rows,
                   uint64_t *place);
/* One whole part, rotated and rounded once to the format of the output, in pieces where that is possible. */
void tool_write_part(tool_writer *w, size_t i, const cq_context *ctx, const tool_model *t, const cq_rotate_plan *plan);
uint64_t tool_finish(tool_writer *w, const char *provenance); /* bytes of the finished file; frees w */

/* ===================================================================================================================
   [CHECKPOINTS]  quantised linears as others read them: codes, scales, zeros (tool_checkpoint.c; cquant_models.h,
   [CHECKPOINTS], has the formats)
   ================================================================================================================== */
/* p->coded says which parts are coded, and how; tool_store_as was called for the others. Gives coded parts their
   tensors, and refuses what the style cannot hold. */
void tool_checkpoint_plan(tool_parts *p, const tool_model *t, const char *target);
/* Codes (rows, cols) and grids (rows, groups) of a coded part, g_idx (cols) if groups are no runs. */
void tool_put_codes(tool_writer *w, size_t i, const uint8_t *codes, const cq_grid *grids, const uint32_t *g_idx);
/* A coded part that calibration does not reach (the head): rounded to nearest. */
void tool_write_coded(tool_writer *w, size_t i, const cq_context *ctx, const tool_model *t, const cq_rotate_plan *plan);
/* quantization_config, a new string. damp: what the solver was told. */
char *tool_checkpoint_config(const tool_parts *p, const tool_model *t, double damp);

/* ===================================================================================================================
   [CONFIG]  config.json with a few keys changed: the text is kept, only the values are replaced
   ================================================================================================================== */
char *tool_config_text(const tool_model *t); /* a new string, as those below, which free the one they are given */
/* Sets a key of the whole (object NULL) or of the object under that path. add: if it is not there, too. */
char *tool_config_set(char *text, const char *object, const char *key, const char *value, bool add);
/* The head has become a tensor of its own: every key that the description's `tie` asks for says so. */
char *tool_config_untied(char *text, const tool_model *t);
char *tool_config_dtype(char *text, const tool_model *t, const char *name); /* as torch names it: "\"float32\"" */
void tool_copy_companions(const tool_dir *dir, const tool_model *t); /* tokenizer files and the like */
void tool_write_text(const tool_dir *dir, const char *name, const char *text);

/* ===================================================================================================================
   [ROTATIONS]  what the outputs say of them
   ================================================================================================================== */
void tool_refuse_online(const char *target); /* a directory cannot hold online rotations */
char *tool_rotations_text(void);             /* "rotate":"auto","matrices":null,"online":null */

#endif
