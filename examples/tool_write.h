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
typedef struct tool_parts {
    bool hf;         /* as the checkpoint has them */
    cq_part *part;   /* (count) */
    size_t *tensor;  /* (count) the tensor that holds it */
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
   [OUTPUTS]  a .cq file, or model.safetensors in a directory; tensors are written at their places, in any order
   ================================================================================================================== */
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
    uint64_t *offset; /* safetensors: (tensors + 1) */
    uint64_t section_bytes[CQ_SECTION_COUNT];
    cq_arena arena;
    tool_buffer wide, narrow, bytes; /* kept from part to part */
    bool double_16; /* rotate in double also what is stored in 16 bits, where float makes no difference to speak of */
} tool_writer;
tool_writer *tool_write_cq(const char *path, tool_parts *p, tool_model *t, const cq_rotate_plan *plan,
                           const char *config, size_t config_len);
tool_writer *tool_write_safetensors(const char *path, tool_parts *p, const tool_model *t);
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
