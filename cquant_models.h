/* cquant_models.h - v0.1.0 - models: from a checkpoint's bytes to text

   Readers for JSON, safetensors and .cq files over bytes; the tokenizer; architectures described as data; the forward
   pass with a static cache; calibration, rotation and quantisation of whole models; the denoiser of diffusion models.
   Freestanding C99 and C++11; includes the other three headers and nothing else.

   In exactly ONE source file:            everywhere else:
       #define CQUANT_IMPLEMENTATION          #include "cquant_models.h"
       #include "cquant_models.h"

   Run a model that lies in memory or flash as one .cq file:

       static unsigned char arena_bytes[1 << 24];                // all the RAM there is
       cq_arena arena = cq_arena_over(arena_bytes, sizeof arena_bytes);
       cq_context ctx;
       cq_file file;
       cq_model model;
       cq_session session;
       cq_session_desc desc = {0};
       cq_input in = {0};
       cq_error err;
       cq_init(&ctx, NULL, NULL);
       if (cq_file_open(&file, flash, flash_size, &arena, &err)) return fail(&err);
       if (cq_model_bind(&model, (const char *)file.section[CQ_SECTION_CONFIG].data,
                         file.section[CQ_SECTION_CONFIG].size, &file.weights, NULL, 0, &arena, &err)) return fail(&err);
       desc.max_tokens = 128;
       if (cq_session_init(&session, &ctx, &model, &desc, &arena, &arena, &err)) return fail(&err);
       in.ids = ids;
       in.n = 5;
       if (cq_forward(&session, &in, &err)) return fail(&err);
       cq_logits(&session, NULL, 5, logits);                     // (5, model.vocab)

   DOES NOT: allocate, read files, start threads, print, keep global state; train; run on a GPU; render chat templates.

   CONTENTS  declarations  [JSON] [WEIGHTS] [SAFETENSORS] [CQ FILE] [TOKENIZER] [ARCHITECTURES] [MODELS] [SESSIONS]
                           [PARTS] [QUANTIZE A MODEL] [GENERATE]
             lessons       [LESSON 1 json] [LESSON 2 files] [LESSON 3 tokenizer] [LESSON 4 describing a model]
                           [LESSON 5 binding] [LESSON 6 the forward pass] [LESSON 7 generating]
                           [LESSON 8 rotating a model] [LESSON 9 quantizing a model]

   ONE DESCRIPTION  An architecture is a few lines of text, [LESSON 4]. Running, calibrating, rotating, quantising and
   exporting all follow from it; no function below knows the name of a model.

   STACK  Under 1 KB a call on the runtime path; cq_quantize_model 2.7 KB.

   HOSTILE INPUT  Everything that comes from outside is checked before it is used: sizes by checked arithmetic, extents,
   duplicates, depths, counts, ids. What is wrong is a status with a position and a name, see [STATUS] in cquant.h.

   Licence: see the end of cquant.h. */
#ifndef CQUANT_MODELS_H
#define CQUANT_MODELS_H

#include "cquant.h"
#include "cquant_gptq.h"
#include "cquant_rotate.h"

#define CQUANT_MODELS_VERSION_NUM 100
#if CQUANT_VERSION_NUM != CQUANT_MODELS_VERSION_NUM
#error "cquant.h and cquant_models.h are of different versions"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ===================================================================================================================
   [JSON]  strict RFC 8259 over the caller's bytes. No copies: nodes point into the text.

   A node is a value or the key of an object. Siblings are a list: child is the first, next the following, 0 ends.

       {"a": [1, 2], "b": true}          0 OBJECT count 2 ── child ─▶ 1 STRING a ───── next ─────▶ 5 STRING b
                                                                      └ child ▶ 2 ARRAY count 2     └ child ▶ 6 TRUE
                                                                         └ child ▶ 3 NUMBER ─ next ▶ 4 NUMBER

   The document is node 0. A document is nobody's child, so 0 also says "none"; but note that cq_json_find(j, 0, key)
   asks the document: chain lookups with cq_json_path, which stops at the first key that is missing.

   Beyond the RFC: NaN, Infinity and -Infinity are numbers (Python's json writes them). Below it: at most 64 levels,
   text below 4 GiB, a key twice in one object is an error ("a" and "\u0061" are the same key). Bytes >= 0x80 pass
   unchecked.
   ================================================================================================================== */
#define CQ_JSON_DEPTH 64

typedef enum cq_json_type {
    CQ_JSON_NULL,
    CQ_JSON_FALSE,
    CQ_JSON_TRUE,
    CQ_JSON_NUMBER,
    CQ_JSON_STRING, /* keys too: a key's child is its value, its next the next key */
    CQ_JSON_ARRAY,
    CQ_JSON_OBJECT
} cq_json_type;

typedef struct cq_json_node {
    uint8_t type;        /* cq_json_type */
    uint8_t escaped;     /* strings: 1 if a backslash is in it */
    uint32_t begin, end; /* bytes in text: strings without their quotes, containers with their brackets */
    uint32_t next;       /* next element of an array, next key of an object; 0: the last */
    uint32_t child;      /* first element; first key; of a key: its value; 0: none */
    uint32_t count;      /* elements, or pairs of key and value */
    uint32_t keys;       /* objects: its keys, sorted by bytes, are sorted[keys .. keys + count) */
} cq_json_node;

typedef struct cq_json {
    const char *text; /* the caller's; must stay */
    size_t len;
    const cq_json_node *nodes; /* NULL after a dry run */
    size_t count;
    const uint32_t *sorted; /* keys of each object in order, for cq_json_find */
} cq_json;

/* Reads the text twice: first checks it and counts, then fills exactly that many nodes (28 bytes each, and 4 more for a
   key) from the arena. With arena->base NULL (the size query) it stops between the two: syntax errors are reported,
   duplicate keys are not, j->nodes is NULL and nothing below may be called.
   Errors: CQ_ERR_FORMAT at byte err->where, err->got the byte there (-1: the end); CQ_ERR_MEMORY; CQ_ERR_RANGE. */
CQUANT_DEF cq_status cq_json_parse(cq_json *j, const char *text, size_t len, cq_arena *arena, cq_error *err);

/* The value of a key, in O(log keys); 0 if there is none or `object` is no object. */
CQUANT_DEF uint32_t cq_json_find(const cq_json *j, uint32_t object, const char *key);
CQUANT_DEF uint32_t cq_json_find_n(const cq_json *j, uint32_t object, const char *key, size_t key_len);
/* The same through several objects: "text_config.hidden_size". 0 as soon as one is missing. */
CQUANT_DEF uint32_t cq_json_path(const cq_json *j, uint32_t object, const char *path);

/* Walking:  for (c = cq_json_child(j, node); c; c = cq_json_next(j, c))
   gives the elements of an array or the keys of an object; the value of a key is cq_json_child(j, key). */
CQUANT_DEF uint32_t cq_json_child(const cq_json *j, uint32_t node);
CQUANT_DEF uint32_t cq_json_next(const cq_json *j, uint32_t node);
CQUANT_DEF cq_json_type cq_json_kind(const cq_json *j, uint32_t node);

/* Scalars: true and *out set if the node is such a value, else false and *out as it was.
   int: exact; 2.0 and 1.0e3 are integers, 1.5, 1e30 and NaN are not.
   float: correctly rounded (nearest, ties to even) for any number of digits; above FLT_MAX it rounds to infinity. */
CQUANT_DEF bool cq_json_int(const cq_json *j, uint32_t node, int64_t *out);
CQUANT_DEF bool cq_json_float(const cq_json *j, uint32_t node, float *out);
CQUANT_DEF bool cq_json_bool(const cq_json *j, uint32_t node, bool *out);
CQUANT_DEF bool cq_json_is_null(const cq_json *j, uint32_t node);

/* Strings and keys, escapes resolved. string_eq: false also if the node is no string.
   unescape: the length in bytes of the string, of which the first `size` are written (no terminating zero); 0 if it is
   no string. out may be NULL when size is 0: the size query. A surrogate without its other half gives U+FFFD. */
CQUANT_DEF bool cq_json_string_eq(const cq_json *j, uint32_t node, const char *literal);
CQUANT_DEF size_t cq_json_unescape(const cq_json *j, uint32_t node, char *out, size_t size);

/* ===================================================================================================================
   [WEIGHTS]  named tensors, wherever they come from: sorted by name, found by binary search
   ================================================================================================================== */
/* What a checkpoint's bytes mean: name in safetensors, bits of one element. The first three are also cq_formats; the
   others are only carried, and are an error where they are used as a matrix. */
#define CQ_DTYPE_LIST(X)                                                                                               \
    X(F32, 32) X(F16, 16) X(BF16, 16) X(F64, 64) X(I64, 64) X(I32, 32) X(I16, 16) X(I8, 8) X(U64, 64) X(U32, 32)       \
    X(U16, 16) X(U8, 8) X(BOOL, 8) X(F8_E4M3, 8) X(F8_E5M2, 8) X(F8_E8M0, 8) X(F8_E4M3FNUZ, 8) X(F8_E5M2FNUZ, 8)       \
    X(F6_E2M3, 6) X(F6_E3M2, 6) X(F4, 4) X(C64, 64)
#define CQ__DTYPE_ENUM(name, bits) CQ_DTYPE_##name,
typedef enum cq_dtype {
    CQ_DTYPE_LIST(CQ__DTYPE_ENUM)
    CQ_DTYPE_PACKED /* as cq_tensor.format and layout say: tensors of .cq files */
} cq_dtype;

typedef struct cq_named {
    const char *name; /* not zero-terminated */
    size_t name_len;
    cq_tensor t; /* (rows, cols) = (product of all dimensions but the last, the last); a vector is one row.
                    t.data is NULL if this is no matrix of floats or packed weights: use data, bytes, dtype */
    const unsigned char *data; /* whatever the dtype */
    uint64_t bytes;
    uint64_t shape[4]; /* of more than four dimensions shape[3] has the product of the rest; unused ones are 0 */
    uint8_t ndim;      /* up to 8 */
    uint8_t dtype;     /* cq_dtype */
    uint32_t file;     /* which shard: the number given to the reader */
} cq_named;

typedef struct cq_weights {
    const cq_named *list; /* (count), sorted by the bytes of the name, no name twice */
    size_t count;
} cq_weights;

CQUANT_DEF const cq_named *cq_weights_find(const cq_weights *w, const char *name, size_t name_len); /* NULL: none */
/* The union of n shards, in the arena; the names stay where they are. CQ_ERR_FORMAT if two shards have one tensor. */
CQUANT_DEF cq_status cq_weights_merge(const cq_weights *parts, size_t n, cq_arena *arena, cq_weights *out,
                                      cq_error *err);
CQUANT_DEF const char *cq_dtype_name(cq_dtype dtype); /* as safetensors calls it; "packed" */
CQUANT_DEF unsigned cq_dtype_bits(cq_dtype dtype);    /* of one element; 0 for packed */

/* ===================================================================================================================
   [SAFETENSORS]  github.com/huggingface/safetensors

       8 bytes   N, little-endian                              N <= 100 MB
       N bytes   {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..., "__metadata__": {text: text}}
       rest      the data; offsets count from here, cover all of it, and no byte twice

   Everything is checked before it is used: the numbers, dtype x shape = extent, names (1 to 1024 bytes, no zero byte,
   none twice), no gap, no overlap. Tensors are views of the file. They start wherever the file says, so their elements
   may be unaligned: all of cquant reads them as little-endian bytes.
   ================================================================================================================== */
#define CQ_SAFETENSORS_MAX_HEADER 100000000u
#define CQ_NAME_MAX 1024u
#define CQ_NDIM_MAX 8u

/* data: the whole file, which must stay; file: a number for cq_named.file. With arena->base NULL (the size query) all
   is checked but what needs the list: names that are there twice, gaps and overlaps; and out->list is NULL.
   Errors: where is a byte of the file, name the tensor, got the number at fault. */
CQUANT_DEF cq_status cq_safetensors_read(const unsigned char *data, size_t size, uint32_t file, cq_arena *arena,
                                         cq_weights *out, cq_error *err);

/* What stands before the data: the length and the header, for tensors whose data follow in the order of the list. Of
   each entry name, dtype, ndim (at most 4) and shape count. *need: the bytes it takes, a multiple of 8, also when out
   is NULL (the size query); offsets: (n) where each tensor starts in the file, and, in offsets[n], where the file ends;
   may be NULL. Sorted by falling element size, tensors are also aligned to their elements. */
CQUANT_DEF cq_status cq_safetensors_header(const cq_named *list, size_t n, unsigned char *out, size_t size,
                                           size_t *need, uint64_t *offsets, cq_error *err);

/* ===================================================================================================================
   [CQ FILE]  one file that is used where it lies: mapped, in flash, or in an array of a C program. Version 1.

   All numbers are little-endian, all offsets count from the start of the file, and every part starts on a multiple of
   64. What is between two parts is zero, and less than 64 bytes. In memory the file needs an alignment of 4 only.

       +--------------------------------------------+ 0
       | header, 192 bytes                          |
       +--------------------------------------------+ 192
       | table: 96 bytes a tensor, sorted by name   |
       | names, one after the other in that order   |
       | zeros                                      |   checksum `head`
       +============================================+ head_bytes
       | config.json of the model, verbatim         |   checksum `data`
       | description of the architecture, UTF-8     |   (may be empty)
       | tokenizer                                  |   (may be empty)
       | the tensors, in any order                  |
       | provenance: JSON, how it was made          |   last: its length may be settled when all else is written
       +--------------------------------------------+ file_bytes, a multiple of 64

       header                                        entry of the table
         0  8  "CQUANT\r\n"  (text mode breaks it)      0  8  offset of the name
         8  4  version: 1                               8  4  bytes of the name: 1 to 1024, none of them zero
        12  4  tensors                                 12  1  format   0 f32 1 f16 2 bf16 3 int8 4 int4 5 int3 6 int2
        16  8  head_bytes                              13  1  layout   0 rows 1 panels    (cquant.h, LESSON 5)
        24  8  file_bytes                              14  1  1: asymmetric, zeros are stored
        32  8  checksum of the head, with              15  1  dimensions: 0 to 4
               these 8 bytes taken as zero             16  4  group_size; 0 for float formats
        40  8  checksum of the data                    20  4  zero
        48  8  offset of the names                     24  8  rows = product of all dimensions but the last
        56  8  bytes of the names                      32  8  cols = the last dimension
        64 16  config:      offset, bytes              40 32  the dimensions, 0 where unused
        80 16  description: offset, bytes              72  8  offset of the data
        96 16  tokenizer:   offset, bytes              80  8  bytes of the data
       112 16  provenance:  offset, bytes              88  8  zero
       128 64  zero

   Checksum: h = 14695981039346656037; for each 8 bytes, as a little-endian number w (zeros after the last bytes):
   h = (h ^ w) * 1099511628211, h ^= h >> 32; at the end once more with w = the number of bytes. As FNV-1a, but on
   words, and with the shift, without which two flipped top bits would cancel. Every step is a bijection of h and of
   w: no damage within one word goes unseen.
   ================================================================================================================== */
#define CQ_FILE_VERSION 1u

typedef enum cq_section {
    CQ_SECTION_CONFIG,
    CQ_SECTION_DESCRIPTION,
    CQ_SECTION_TOKENIZER,
    CQ_SECTION_PROVENANCE,
    CQ_SECTION_COUNT
} cq_section;

typedef struct cq_bytes {
    const unsigned char *data;
    size_t size;
} cq_bytes;

typedef struct cq_file {
    cq_weights weights;
    cq_bytes section[CQ_SECTION_COUNT];
    const unsigned char *data;
    size_t size;       /* file_bytes: what the caller has may be longer (a flash partition) */
    size_t head_bytes; /* the data start here */
    uint64_t data_sum; /* what they should add up to */
} cq_file;

/* Checks the checksum of the head and every number in it, and makes the list of tensors in the arena. With arena->base
   NULL (the size query) all but the places of the tensors is checked. The data are not read: see cq_file_check.
   CQ_ERR_FORMAT: where is a byte of the file; CQ_ERR_UNSUPPORTED: another version; CQ_ERR_ARG: data not at a
   multiple of 4. */
CQUANT_DEF cq_status cq_file_open(cq_file *f, const unsigned char *data, size_t size, cq_arena *arena, cq_error *err);
/* Reads all the data: checksum, and zeros where zeros should be. Only on a file opened with an arena. */
CQUANT_DEF cq_status cq_file_check(const cq_file *f, cq_error *err);

/* The checksum, in pieces of any size. */
typedef struct cq_checksum {
    uint64_t h, word, length;
} cq_checksum;
CQUANT_DEF void cq_checksum_start(cq_checksum *c);
CQUANT_DEF void cq_checksum_add(cq_checksum *c, const unsigned char *bytes, size_t n);
CQUANT_DEF uint64_t cq_checksum_value(const cq_checksum *c);

/* Writing a file, with only one tensor in memory at a time:
     1. cq_file_plan: from the formats and shapes to all offsets.
     2. Write, from head_bytes on: sections and tensors at their offsets, zeros between, up to file_bytes; all of it in
        order through cq_checksum_add. (Or out of order, and checksum what was written.)
     3. Only now known: the checksum, and perhaps the provenance. If its length is another, plan again: being last, it
        moves nothing but the end.
     4. cq_file_header: head_bytes bytes for the start of the file. */
typedef struct cq_file_layout {
    const cq_named *list; /* as given */
    size_t count;
    const uint64_t *offset; /* (count) of the data of list[i]; NULL after a dry run */
    const uint32_t *sorted; /* (count) the order of the table; NULL after a dry run */
    uint64_t section_offset[CQ_SECTION_COUNT], section_bytes[CQ_SECTION_COUNT];
    uint64_t head_bytes, names_bytes, file_bytes;
} cq_file_layout;

/* Of each entry name, t (as cq_tensor_init made it), ndim and shape count; data are placed in the order of the list.
   The list must stay until cq_file_header. */
CQUANT_DEF cq_status cq_file_plan(cq_file_layout *l, const cq_named *list, size_t count,
                                  const uint64_t *section_bytes /* (CQ_SECTION_COUNT) */, cq_arena *arena,
                                  cq_error *err);
CQUANT_DEF void cq_file_header(const cq_file_layout *l, uint64_t data_sum, unsigned char *out /* (head_bytes) */);

/* ===================================================================================================================
   [TOKENIZER]  byte-level BPE: the ids that Hugging Face's fast tokenizers give, and the text back

   A tokenizer is a view of one block of bytes, the blob: made once from the files of a model (host), then used in place
   from memory, a file or flash, on machines of any byte order. The rules it can follow are those of Qwen2 (Dream too),
   Llama-3 and GPT-2, recognised by what tokenizer.json says, not by the model's name; everything else is
   CQ_ERR_UNSUPPORTED with the offending part named.

   DOES NOT: add BOS or other tokens of a post-processor or chat template, truncate, pad, or skip special tokens.
   CQUANT_ASCII_ONLY (implementation) leaves out the Unicode tables, 22.5 KB: text beyond ASCII outside of added tokens
   is then CQ_ERR_UNSUPPORTED; decoding stays complete.
   ================================================================================================================== */
/* The bytes of the files. Either tokenizer_json, alone; or vocab_json, merges_txt and tokenizer_config_json (for
   tokenizer_class and added_tokens_decoder), as models with a slow tokenizer ship them. Absent files: NULL. */
typedef struct cq_tokenizer_files {
    const char *tokenizer_json;
    size_t tokenizer_json_len;
    const char *vocab_json;
    size_t vocab_json_len;
    const char *merges_txt;
    size_t merges_txt_len;
    const char *tokenizer_config_json;
    size_t tokenizer_config_json_len;
} cq_tokenizer_files;

/* Filled by cq_tokenizer_open. Sections are byte offsets into the blob; see the implementation for the format. */
typedef struct cq_tokenizer {
    const unsigned char *blob;
    uint32_t vocab;   /* ids are 0 .. vocab - 1: with added tokens; holes decode to nothing */
    uint32_t indexed; /* tokens that text can become */
    uint32_t merges;
    uint32_t added, raw; /* added tokens; of these, the first `raw` are looked for before normalisation */
    uint32_t bytes;      /* in the pool of strings */
    uint32_t split;      /* which rule cuts text into pieces */
    uint32_t flags;
    size_t at_byte, at_start, at_index, at_first, at_merge, at_added, at_pool, size;
} cq_tokenizer;

/* Makes the blob in the arena, which afterwards holds the blob and nothing else of this call. The arena must have
   memory (a run on an empty arena is CQ_ERR_ARG); cq_tokenizer_build_bound gives a size that suffices, at an aligned
   base, or SIZE_MAX if the files are no JSON (cq_tokenizer_build says where).
   Errors: CQ_ERR_FORMAT (JSON, ids or tokens twice, merges of unknown tokens), CQ_ERR_MISSING, CQ_ERR_UNSUPPORTED,
   CQ_ERR_RANGE (ids far beyond the number of tokens), CQ_ERR_MEMORY. */
CQUANT_DEF cq_status cq_tokenizer_build(const unsigned char **blob, size_t *blob_size, const cq_tokenizer_files *files,
                                        cq_arena *arena, cq_error *err);
CQUANT_DEF size_t cq_tokenizer_build_bound(const cq_tokenizer_files *files);

/* Checks the whole blob (it may be hostile), then makes *tok a view of it; it must stay. size may be larger. */
CQUANT_DEF cq_status cq_tokenizer_open(cq_tokenizer *tok, const unsigned char *blob, size_t size, cq_error *err);

/* text -> ids. Any bytes: what is not UTF-8 counts as U+FFFD, one for each maximal part (as Python's errors="replace").
   *count is the number of ids of the whole text, also when only max_ids were written and CQ_ERR_RANGE is returned; with
   ids NULL and max_ids 0 it only counts. There are at most 3 * len ids; at most len in text that is UTF-8 and in NFC.
   scratch: 24 bytes for each byte of the longest piece (a word), and a copy of text that is not UTF-8 or not in NFC;
   cq_tokenizer_encode_bound(tok, len) bytes suffice for any text of len bytes. Used and given back: scratch->used is
   the same afterwards. Time: n log n in the longest piece, linear in the rest.
   Errors: CQ_ERR_MEMORY, CQ_ERR_RANGE, and CQ_ERR_UNSUPPORTED at byte err->where with CQUANT_ASCII_ONLY. */
CQUANT_DEF cq_status cq_tokenizer_encode(const cq_tokenizer *tok, const char *text, size_t len, int32_t *ids,
                                         size_t max_ids, size_t *count, cq_arena *scratch, cq_error *err);
CQUANT_DEF size_t cq_tokenizer_encode_bound(const cq_tokenizer *tok, size_t len); /* SIZE_MAX: too long to encode */

/* ids -> text: the length in bytes, of which the first `size` are written (no terminating zero); out may be NULL when
   size is 0. Special tokens are written as text; ids outside of the vocabulary give nothing; what is not UTF-8 gives
   U+FFFD (so decode whole answers, not single ids). */
CQUANT_DEF size_t cq_tokenizer_decode(const cq_tokenizer *tok, const int32_t *ids, size_t n, char *out, size_t size);

/* The id of an added token ("<|mask|>") by its content, else of a token by its bytes (" the"); -1 if there is none. */
CQUANT_DEF int32_t cq_tokenizer_id(const cq_tokenizer *tok, const char *token, size_t len);
CQUANT_DEF bool cq_tokenizer_is_special(const cq_tokenizer *tok, int32_t id); /* an added token marked special */

/* ===================================================================================================================
   [ARCHITECTURES]  a model is described once, as text; see [LESSON 4 describing a model] for the notation
   ================================================================================================================== */
typedef struct cq_str {
    const char *p; /* not zero-terminated */
    size_t n;
} cq_str;

/* The linears a block can have. One table, in [LESSON 4], says which share an input, what they read and write. */
typedef enum cq_role {
    CQ_ROLE_Q, CQ_ROLE_K, CQ_ROLE_V, CQ_ROLE_O,
    CQ_ROLE_GATE, CQ_ROLE_UP, CQ_ROLE_DOWN,
    CQ_ROLE_COUNT
} cq_role;
typedef enum cq_block_kind { CQ_BLOCK_ATTENTION, CQ_BLOCK_MLP } cq_block_kind;
typedef enum cq_activation { CQ_ACT_SILU, CQ_ACT_GELU_TANH, CQ_ACT_RELU } cq_activation;

typedef struct cq_role_desc {
    cq_str name;     /* as on disk, relative to the block's prefix; n = 0: the block has no such linear */
    bool bias;       /* always has a bias */
    cq_str bias_key; /* has one iff this key of config.json is true */
} cq_role_desc;

typedef struct cq_block_desc {
    cq_block_kind kind;
    cq_str prefix; /* relative to the layer: "self_attn" */
    cq_str pre;    /* norm before the block, relative to the layer: "input_layernorm" */
    cq_role_desc role[CQ_ROLE_COUNT];
    cq_str q_norm, k_norm; /* per-head norms of q and k, before rope; n = 0: none */
    bool causal, full; /* attention: one of the two */
    cq_str window;        /* key of the sliding window; n = 0: none */
    cq_str window_if;     /* ... only if this key is true */
    cq_str window_from;   /* ... only from the layer that this key names */
} cq_block_desc;

#define CQ_MAX_BLOCKS 4 /* blocks in the description of a layer */
typedef struct cq_arch {
    cq_str text, name;   /* the whole description; the model_type */
    cq_str embed, layers /* with '#' for the number */, norm, head;
    bool diffusion, shift; /* generation: masked diffusion; the logits of row p predict token p + 1 */
    bool tie;            /* default of tie_word_embeddings */
    bool heads_required; /* no default for num_key_value_heads */
    cq_str ignore;       /* glob of tensors without meaning */
    cq_block_desc block[CQ_MAX_BLOCKS];
    size_t blocks;
} cq_arch;

CQUANT_DEF const char *cq_arch_builtin(size_t index); /* description texts; NULL ends */
/* Parses one description; err->where is the byte offset in text. */
CQUANT_DEF cq_status cq_arch_parse(cq_arch *arch, const char *text, size_t len, cq_error *err);
/* The built-in description of a model_type; CQ_ERR_UNSUPPORTED names it. */
CQUANT_DEF cq_status cq_arch_find(cq_arch *arch, const char *model_type, size_t len, cq_error *err);

/* ===================================================================================================================
   [MODELS]  description + config.json + tensors = a model that runs
   ================================================================================================================== */
typedef struct cq_linear {
    cq_tensor w;               /* (out, in); w.rows = 0: this block has no such linear */
    const unsigned char *bias; /* (out) fp32 little-endian, or NULL */
} cq_linear;

typedef struct cq_block {
    const cq_block_desc *desc;
    size_t layer;
    const unsigned char *pre; /* gain of the norm before it, (hidden) fp32 LE; NULL: 1 */
    const unsigned char *q_norm, *k_norm; /* (head_dim) fp32 LE, or NULL */
    cq_linear lin[CQ_ROLE_COUNT];
    size_t window; /* keys further back than this are not seen; 0: no window */
} cq_block;

typedef struct cq_model { /* points into itself: do not copy or move it once it is bound */
    cq_arch arch;
    cq_json config;
    size_t vocab, hidden, layers, heads, kv_heads, head_dim, inter, max_position;
    float eps;
    cq_activation act;
    const float *inv_freq;   /* (head_dim / 2) */
    float rope_scale;        /* multiplies cos and sin (yarn); 1 */
    int32_t mask_id, eos_id, pad_id, bos_id; /* -1: none */
    bool tied;
    cq_tensor embed;         /* (vocab, hidden) */
    cq_linear head;          /* (vocab, hidden) */
    const unsigned char *norm; /* final gain */
    cq_block *blocks;        /* (layers * arch.blocks), in execution order */
    size_t block_count;
    size_t parameters;
    char name[256];          /* storage for the name in an error */
} cq_model;

/* config: text of config.json (kept: must outlive the model); weights: all tensors. arch_text: a description to use
   instead of the built-in one, or NULL. Everything is checked: shapes against config, missing and undescribed tensors,
   keys without a value. Dry run: an arena with base NULL cannot bind (values are needed); use cq_model_bound. */
CQUANT_DEF cq_status cq_model_bind(cq_model *m, const char *config, size_t config_len, const cq_weights *weights,
                                   const char *arch_text, size_t arch_len, cq_arena *arena, cq_error *err);
CQUANT_DEF size_t cq_model_bound(size_t config_len, const cq_weights *weights); /* arena bytes that suffice */

/* The full path of a linear ("model.layers.0.self_attn.q_proj"), zero-terminated into out; returns its length. */
CQUANT_DEF size_t cq_module_name(const cq_model *m, size_t block, cq_role role, char *out, size_t size);
CQUANT_DEF size_t cq_head_name(const cq_model *m, char *out, size_t size);
/* Linears with one input: a group; groups are in execution order. Fills roles, returns how many, 0: no such group. */
CQUANT_DEF size_t cq_block_group(const cq_block *b, size_t group, cq_role roles[CQ_ROLE_COUNT]);
CQUANT_DEF const char *cq_role_name(cq_role role);

/* ===================================================================================================================
   [SESSIONS]  one arena, a static KV cache, and the forward pass
   ================================================================================================================== */
typedef struct cq_session_desc {
    size_t max_tokens; /* cache slots; required */
    size_t max_rows;   /* rows of one forward pass; 0: max_tokens */
    size_t tile;       /* rows computed together; 0: 64 */
    bool int8;         /* activations of integer linears in int8, per token; else fp32 */
} cq_session_desc;

struct cq_tap;
typedef struct cq_session {
    const cq_context *ctx;
    const cq_model *m;
    cq_session_desc desc;
    size_t rows; /* rows of the last forward pass */
    float *k, *v; /* cache: (layers, kv_heads, max_tokens, head_dim), k after rope */
    float *x;     /* (max_rows, hidden): the residual stream of the rows of the last pass */
    float *q;     /* (max_rows, heads * head_dim) */
    float *cos_sin; /* (max_rows, 2, head_dim / 2) */
    float *xn, *kv, *gate, *up, *scores;
    cq_acts acts; /* the input of the current group in int8 */
    bool acts_ready;
    size_t block_stride; /* cache slots of one layer and head: max_tokens * head_dim */
} cq_session;

/* Hot (activations) and cold (cache) memory apart; both may come from the same arena. */
CQUANT_DEF cq_status cq_session_init(cq_session *s, const cq_context *ctx, const cq_model *m,
                                     const cq_session_desc *desc, cq_arena *hot, cq_arena *cold, cq_error *err);

typedef struct cq_input {
    const int32_t *ids;       /* (n); or NULL: s->x already holds the rows */
    size_t n;
    size_t slot;              /* rows go to cache slots slot .. slot + n - 1 */
    size_t visible;           /* slots 0 .. visible - 1 are seen; 0: slot + n. What is in them from before stays */
    const int32_t *positions; /* (n) rope positions; NULL: slot + i */
    /* At most one mask. None: what the architecture does (everything, or causal, or windowed). */
    const uint8_t *keep;      /* (visible) 0 hides that key from every row; combined with the architecture's own */
    const uint8_t *allow;     /* (n, ld_mask) 0 hides key k from row r; replaces the architecture's own */
    const float *bias;        /* (n, ld_mask) added to the scaled scores; replaces the architecture's own */
    size_t ld_mask;
} cq_input;

/* Runs all blocks. Fully masked rows get attention output 0. CQ_ERR_RANGE names an id outside the vocabulary. */
CQUANT_DEF cq_status cq_forward(cq_session *s, const cq_input *in, cq_error *err);
/* Logits of the rows given (indices into the last pass; NULL: the first n): out (n, vocab). */
CQUANT_DEF void cq_logits(cq_session *s, const uint32_t *rows, size_t n, float *out);

/* Calibration: called with the input of each group of linears, tile by tile. */
typedef struct cq_tap {
    void (*fn)(void *user, size_t block, size_t group, const float *x, size_t ldx, size_t rows, size_t first_row);
    void *user;
    size_t stop; /* stop before this group's linears: 0, 1; SIZE_MAX: run the whole block */
} cq_tap;
/* One block over the rows in s->x (in->ids ignored). tap may be NULL. */
CQUANT_DEF void cq_run_block(cq_session *s, const cq_block *b, const cq_input *in, const cq_tap *tap);
CQUANT_DEF void cq_prepare(cq_session *s, const cq_input *in); /* rope tables; cq_forward does it itself */

/* ===================================================================================================================
   [PARTS]  every tensor that a written model has, in one order: exporting, rotating and quantising walk this list
   ================================================================================================================== */
typedef struct cq_rotate_plan {
    cq_rotation r1;   /* residual stream */
    cq_rotation *r2;  /* (layers): heads between v and o */
    void *scratch;
    bool enabled;     /* false: fuse and rotate nothing */
} cq_rotate_plan;

/* Derived from the description: R1 = random Hadamard of order hidden_size (random orthogonal where no Hadamard matrix
   is known), R2 = the same of order head_dim, one a layer. Stream 0 of the seed is R1, stream 1 + layer its R2. plan
   NULL everywhere below means: as the checkpoint is. With arena->base NULL: the size query. */
CQUANT_DEF cq_status cq_rotate_plan_auto(cq_rotate_plan *plan, const cq_context *ctx, const cq_model *m, uint64_t seed,
                                         cq_arena *arena, cq_error *err);

typedef enum cq_part_kind {
    CQ_PART_EMBED, CQ_PART_HEAD,              /* matrices (vocab, hidden); rows are independent */
    CQ_PART_LINEAR, CQ_PART_BIAS,             /* of a block's linear */
    CQ_PART_NORM, CQ_PART_BLOCK_NORM, CQ_PART_Q_NORM, CQ_PART_K_NORM
} cq_part_kind;

typedef struct cq_part {
    cq_part_kind kind;
    size_t block; /* LINEAR, BIAS, norms of a block */
    cq_role role; /* LINEAR, BIAS; else CQ_ROLE_COUNT */
    size_t rows, cols; /* vectors: rows = 1 */
    bool matrix;
    cq_format format;  /* as stored; F32 for vectors */
    char name[256];    /* of the tensor on disk, zero-terminated */
    size_t name_len;
} cq_part;

/* Fills *part with number index; false past the end. A rotated model has its own head: a tied one is untied, because
   the norm's gain is folded into one end only. */
CQUANT_DEF bool cq_model_part(const cq_model *m, const cq_rotate_plan *plan, size_t index, cq_part *part);
/* Rows row .. row + n - 1 as float, after norm fusion and rotation: out (n, cols). Only EMBED and HEAD may be read in
   pieces; all else whole (row 0, n = rows). Uses the plan's scratch: one call at a time. */
CQUANT_DEF cq_status cq_part_read(const cq_context *ctx, const cq_model *m, const cq_rotate_plan *plan,
                                  const cq_part *part, size_t row, size_t n, float *out, cq_error *err);

/* ===================================================================================================================
   [QUANTIZE A MODEL]  layer by layer; memory: one block in float, its Hessians, and the activations of all samples
   ================================================================================================================== */
typedef struct cq_module {
    cq_part part;             /* which linear; name without ".weight" */
    cq_tensor tensor;         /* packed; data NULL: take `values`. The policy skips it (format F32), or panels cannot
                                 hold it: ACT_GROUPS, or a group size that is no multiple of 32 */
    const float *values;      /* (rows, cols): what the packed codes stand for */
    const cq_gptq_desc *desc; /* as resolved for this module; group_size 0: one group a row */
    const uint32_t *g_idx;    /* (cols) with CQ_GPTQ_ACT_GROUPS; else NULL: column / group_size */
    const uint8_t *codes;     /* (rows, cols) */
    const cq_grid *grids;     /* (rows, groups) */
    cq_gptq_report report;    /* rounded to nearest: both losses are |W - Q|^2 / |W|^2, as if H were the identity */
    uint64_t tokens;          /* calibration tokens its Hessian saw */
} cq_module;

typedef struct cq_quantize_desc {
    cq_gptq_desc gptq;    /* bits, group_size (0, or a multiple of 32 to be packed), asym, order, ... */
    bool rtn;             /* round to nearest: no calibration, ids unused */
    cq_policy *policy;    /* overrides by module name; NULL: none */
    const cq_rotate_plan *plan;
    const int32_t *ids;   /* (samples, seq_len) calibration tokens; for diffusion models with their masks in place */
    size_t samples, seq_len;
    /* Called for each linear in execution order; everything in *module is valid during the call. */
    bool (*emit)(void *user, const cq_module *module);
    /* May be NULL; false cancels. */
    bool (*progress)(void *user, size_t done, size_t total);
    void *user;
} cq_quantize_desc;

/* With arena->base NULL only counts. CQ_ERR_IO if emit returns false. Nothing in the arena is needed afterwards. */
CQUANT_DEF cq_status cq_quantize_model(const cq_context *ctx, cq_model *m, const cq_quantize_desc *desc,
                                       cq_arena *arena, cq_error *err);

/* ===================================================================================================================
   [GENERATE]  the denoiser of diffusion models, and next-token sampling
   ================================================================================================================== */
/* Which masked positions are filled in a step. origin: each by itself, with the probability that the schedule gives;
   the others: the surest ones, as many as the schedule gives. Sure means: the probability of the token chosen, its
   distance to the second likeliest, or the negative entropy sum p log p. */
typedef enum cq_alg { CQ_ALG_ORIGIN, CQ_ALG_MASKGIT_PLUS, CQ_ALG_TOPK_MARGIN, CQ_ALG_ENTROPY, CQ_ALG_COUNT } cq_alg;
/* What of a block's full pass is reused while the block is filled: nothing; keys and values of what stands before it;
   or also of what stands behind it. */
typedef enum cq_cache { CQ_CACHE_NONE, CQ_CACHE_PREFIX, CQ_CACHE_DUAL } cq_cache;
CQUANT_DEF const char *cq_alg_name(cq_alg alg); /* "origin", "maskgit_plus", "topk_margin", "entropy"; else NULL */

typedef struct cq_generate_desc {
    cq_alg alg;           /* only without a cache: with one, and with a threshold, confidence is as said there */
    size_t steps;         /* denoising steps; 0: 512 as the reference does */
    float eps;            /* last time of the schedule, in (0, 1); 0: 0.001 */
    float temperature;    /* 0: the likeliest token */
    float top_p;          /* 0 or >= 1: off */
    size_t top_k;         /* 0: off */
    float alg_temp;       /* > 0: positions are drawn by softmax(confidence / alg_temp) instead of the surest taken */
    cq_cache cache;       /* with one: entropy over steps, unless a threshold is given */
    size_t block_length;  /* with a cache; 0: 32. New tokens must be a multiple of it, steps a multiple of the blocks */
    float threshold;      /* > 0, with a cache: each pass fills the likeliest token and all that reach the threshold;
                             steps are not used. Without a cache: entropy over steps */
    uint64_t seed;
    const float *uniform; /* origin: (steps, n) numbers in [0, 1) that decide instead of the seed's; NULL: none */
} cq_generate_desc;

typedef struct cq_generate_stats {
    size_t steps, forwards, rows, head_rows; /* forward passes; rows computed by them; rows that went through lm_head */
} cq_generate_stats;

/* State of one generation, so that a GUI or a watchdog can step it. Read everything, write nothing. */
typedef struct cq_generator {
    cq_session *s;
    cq_generate_desc desc; /* with the defaults filled in */
    int32_t *ids;          /* (n) the caller's sequence, rewritten in place: mask ids are filled */
    size_t n, prompt;      /* whole length; tokens of the prompt */
    const uint8_t *keep;   /* (n) 0 where a token is not seen, 1 for new tokens; NULL: all are seen */
    size_t step;           /* steps done */
    bool done;
    cq_generate_stats stats;
    /* private: the range of positions that is being filled, and how far it is */
    size_t from, to;       /* without a cache everything; with one the prompt if it has masks, then block by block */
    size_t round, rounds;  /* of the schedule of this range */
    size_t lead;           /* unseen tokens at the front: rows that need not be computed */
    bool window, enter;    /* passes over a part of the rows; the full pass before the first of them is still to do */
    /* private: scratch */
    float *logits;         /* (rows of one batch, vocab) */
    float *confidence;     /* (n) of the candidates: confidence, position, token */
    uint32_t *where;
    int32_t *token;
    int32_t *positions;    /* (n) rope positions, with a mask only */
    uint8_t *seen, *none;  /* (n) the mask with the new tokens; a mask that hides everything */
} cq_generator;

/* ids: (n) the prompt, then mask ids up to n = prompt + max_new_tokens; mask ids inside the prompt are filled too.
   keep: (prompt) attention mask of the prompt (0 = left padding), or NULL. Needs a session with max_tokens >= n and
   max_rows >= n. Nothing here looks at an end-of-text id: the caller cuts. Size query: arena->base NULL; then only the
   pointers s, desc and keep (NULL or not) count, and ids may be NULL. */
CQUANT_DEF cq_status cq_generate_begin(cq_generator *g, cq_session *s, const cq_generate_desc *desc, int32_t *ids,
                                       size_t n, size_t prompt, const uint8_t *keep, cq_arena *arena, cq_error *err);
/* One denoising step; g->done tells when there is nothing left to do. */
CQUANT_DEF cq_status cq_generate_step(cq_generator *g, cq_error *err);

/* Causal models: one token after another. `n` tokens of prompt in ids (capacity n + max_new); returns how many were
   written through *count; stops at eos_id (kept) if eos_id >= 0. Needs a session with max_tokens >= n + max_new; a
   prompt longer than max_rows is run in parts. count and stats may be NULL. */
CQUANT_DEF cq_status cq_generate_next(cq_session *s, const cq_generate_desc *desc, int32_t *ids, size_t n,
                                      size_t max_new, int32_t eos_id, size_t *count, cq_generate_stats *stats,
                                      cq_arena *arena, cq_error *err);
/* Draws one token from logits (overwritten): temperature, then top_p, then top_k, as the reference orders them. A token
   over the threshold of top_p is the last one kept; equal values at the end of top_k are all kept. Ties: lowest id.
   Random numbers: cq_random(desc->seed, stream, counter). *confidence (may be NULL): what desc->alg takes as
   confidence, of the filtered distribution; -infinity when no logit is a number. vocab >= 1. */
CQUANT_DEF int32_t cq_sample(float *logits, size_t vocab, const cq_generate_desc *desc, uint64_t stream,
                             uint64_t counter, float *confidence);


#ifdef __cplusplus
}
#endif
#endif /* CQUANT_MODELS_H */

/* ###################################################################################################################
   Implementation
   ################################################################################################################## */
#if defined(CQUANT_IMPLEMENTATION) && !defined(CQUANT__MODELS_IMPLEMENTED)
#define CQUANT__MODELS_IMPLEMENTED
#include "cquant.h" /* their implementations, should they have been included without before */
#include "cquant_gptq.h"
#include "cquant_rotate.h"

/* No fused multiply-add, as in cquant.h. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if !__STDC_HOSTED__
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ===================================================================================================================
   [LESSON 1 json]  a scanner that gives one token a call, and a tree made from its tokens

   The scanner knows nothing but a position, a state and one bit for each open bracket (1: object), so it needs neither
   recursion nor memory. The safetensors reader uses it alone; cq_json_parse makes nodes of the same tokens.
   ================================================================================================================== */
typedef enum cq__json_state {
    CQ__JSON_WANT_VALUE,       /* at the start, after ':' and after ',' in an array */
    CQ__JSON_WANT_FIRST_VALUE, /* after '[': a value or ']' */
    CQ__JSON_WANT_KEY,         /* after ',' in an object */
    CQ__JSON_WANT_FIRST_KEY,   /* after '{': a key or '}' */
    CQ__JSON_WANT_COMMA,       /* after a value: ',' or the closing bracket */
    CQ__JSON_WANT_NOTHING      /* after the document: white space only */
} cq__json_state;

/* What the scanner returns besides the values of cq_json_type: keys, the end of a container, the end of the text. */
#define CQ__JSON_KEY 7u
#define CQ__JSON_CLOSE 8u
#define CQ__JSON_END 9u

typedef struct cq__json_scan {
    const char *text;
    size_t len, pos;
    cq__json_state state;
    unsigned depth;   /* open brackets */
    uint64_t objects; /* bit 0: the innermost open bracket is '{' */
    /* the token */
    unsigned type;
    bool escaped;
    size_t begin, end; /* strings without quotes; containers: the bracket */
} cq__json_scan;

static void cq__json_start(cq__json_scan *s, const char *text, size_t len) {
    s->text = text;
    s->len = len;
    s->pos = 0;
    s->state = CQ__JSON_WANT_VALUE;
    s->depth = 0;
    s->objects = 0;
    s->type = CQ__JSON_END;
    s->escaped = false;
    s->begin = s->end = 0;
}

/* The byte at the position, -1 at the end. */
static int cq__json_peek(const cq__json_scan *s) { return s->pos < s->len ? (int)(unsigned char)s->text[s->pos] : -1; }

static cq_status cq__json_fail(const cq__json_scan *s, const char *what, cq_error *err) {
    return cq_fail_at(err, CQ_ERR_FORMAT, what, NULL, 0, s->pos, cq__json_peek(s));
}

static int cq__json_hex(int c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* From the opening quote to behind the closing one. */
static cq_status cq__json_scan_string(cq__json_scan *s, cq_error *err) {
    s->escaped = false;
    s->begin = ++s->pos;
    for (;;) {
        int c = cq__json_peek(s);
        if (c == '"') break;
        if (c < 0) return cq__json_fail(s, "JSON: the text ends inside a string", err);
        if (c < 0x20) return cq__json_fail(s, "JSON: control characters in strings must be written as escapes", err);
        s->pos++;
        if (c != '\\') continue;
        s->escaped = true;
        c = cq__json_peek(s);
        if (c == 'u') {
            unsigned digits;
            for (digits = 0; digits < 4; digits++) {
                s->pos++;
                if (cq__json_hex(cq__json_peek(s)) < 0)
                    return cq__json_fail(s, "JSON: \\u must be followed by four hexadecimal digits", err);
            }
        } else if (!(c == '"' || c == '\\' || c == '/' || c == 'b' || c == 'f' || c == 'n' || c == 'r' || c == 't')) {
            return cq__json_fail(s, "JSON: after a backslash must come one of \" \\ / b f n r t u", err);
        }
        s->pos++;
    }
    s->end = s->pos++;
    return CQ_OK;
}

static bool cq__json_skip_digits(cq__json_scan *s) {
    size_t begin = s->pos;
    while (cq__json_peek(s) >= '0' && cq__json_peek(s) <= '9') s->pos++;
    return s->pos > begin;
}

/* true and behind it if the text goes on with `word`. */
static bool cq__json_skip_word(cq__json_scan *s, const char *word) {
    size_t n = cq__strlen(word), i;
    if (s->len - s->pos < n) return false;
    for (i = 0; i < n; i++)
        if (s->text[s->pos + i] != word[i]) return false;
    s->pos += n;
    return true;
}

/* number = [-] (0 | 1-9 digits) [. digits] [(e|E) [+|-] digits]  |  NaN  |  [-] Infinity */
static cq_status cq__json_scan_number(cq__json_scan *s, cq_error *err) {
    s->begin = s->pos;
    if (cq__json_peek(s) == 'N') {
        if (!cq__json_skip_word(s, "NaN")) return cq__json_fail(s, "JSON: a value was expected", err);
    } else {
        if (cq__json_peek(s) == '-') s->pos++;
        if (cq__json_peek(s) == 'I') {
            if (!cq__json_skip_word(s, "Infinity")) return cq__json_fail(s, "JSON: a value was expected", err);
        } else {
            if (cq__json_peek(s) == '0') {
                s->pos++;
                if (cq__json_peek(s) >= '0' && cq__json_peek(s) <= '9')
                    return cq__json_fail(s, "JSON: a number must not begin with a zero and another digit", err);
            } else if (!cq__json_skip_digits(s)) {
                return cq__json_fail(s, "JSON: a number needs a digit here", err);
            }
            if (cq__json_peek(s) == '.') {
                s->pos++;
                if (!cq__json_skip_digits(s)) return cq__json_fail(s, "JSON: digits must follow the point", err);
            }
            if (cq__json_peek(s) == 'e' || cq__json_peek(s) == 'E') {
                s->pos++;
                if (cq__json_peek(s) == '+' || cq__json_peek(s) == '-') s->pos++;
                if (!cq__json_skip_digits(s)) return cq__json_fail(s, "JSON: an exponent needs digits", err);
            }
        }
    }
    s->end = s->pos;
    return CQ_OK;
}

/* Where a value has ended the state depends on what it stands in. */
static cq__json_state cq__json_after_value(const cq__json_scan *s) {
    return s->depth ? CQ__JSON_WANT_COMMA : CQ__JSON_WANT_NOTHING;
}

static cq_status cq__json_open(cq__json_scan *s, bool object, cq_error *err) {
    if (s->depth == CQ_JSON_DEPTH) return cq__json_fail(s, "JSON: nested deeper than 64 levels", err);
    s->type = object ? (unsigned)CQ_JSON_OBJECT : (unsigned)CQ_JSON_ARRAY;
    s->begin = s->pos++;
    s->end = s->pos;
    s->depth++;
    s->objects = s->objects << 1 | (object ? 1u : 0u);
    s->state = object ? CQ__JSON_WANT_FIRST_KEY : CQ__JSON_WANT_FIRST_VALUE;
    return CQ_OK;
}

static cq_status cq__json_scan_value(cq__json_scan *s, cq_error *err) {
    cq_status status = CQ_OK;
    int c = cq__json_peek(s);
    if (c == '{' || c == '[') return cq__json_open(s, c == '{', err);
    s->begin = s->pos;
    if (c == '"') {
        s->type = CQ_JSON_STRING;
        status = cq__json_scan_string(s, err);
    } else if (c == '-' || (c >= '0' && c <= '9') || c == 'N' || c == 'I') {
        s->type = CQ_JSON_NUMBER;
        status = cq__json_scan_number(s, err);
    } else {
        if (cq__json_skip_word(s, "null")) s->type = CQ_JSON_NULL;
        else if (cq__json_skip_word(s, "false")) s->type = CQ_JSON_FALSE;
        else if (cq__json_skip_word(s, "true")) s->type = CQ_JSON_TRUE;
        else return cq__json_fail(s, "JSON: a value was expected", err);
        s->end = s->pos;
    }
    s->state = cq__json_after_value(s);
    return status;
}

static void cq__json_skip_space(cq__json_scan *s) {
    for (;;) {
        int c = cq__json_peek(s);
        if (!(c == ' ' || c == '\n' || c == '\r' || c == '\t')) return;
        s->pos++;
    }
}

/* The next token into s->type, begin, end, escaped. At the end of the document CQ__JSON_END. */
static cq_status cq__json_token(cq__json_scan *s, cq_error *err) {
    bool object;
    int c;
    cq__json_skip_space(s);
    object = (s->objects & 1u) != 0;
    if (s->state == CQ__JSON_WANT_COMMA) {
        c = cq__json_peek(s);
        if (c == ',') {
            s->pos++;
            cq__json_skip_space(s);
            s->state = object ? CQ__JSON_WANT_KEY : CQ__JSON_WANT_VALUE;
        } else if (c != (object ? '}' : ']')) {
            return cq__json_fail(s, object ? "JSON: ',' or '}' was expected" : "JSON: ',' or ']' was expected", err);
        }
    }
    c = cq__json_peek(s);
    switch (s->state) {
    case CQ__JSON_WANT_NOTHING:
        if (c >= 0) return cq__json_fail(s, "JSON: something follows the end of the document", err);
        s->type = CQ__JSON_END;
        s->begin = s->end = s->pos;
        return CQ_OK;
    case CQ__JSON_WANT_FIRST_KEY:
    case CQ__JSON_WANT_KEY:
        if (c == '}' && s->state == CQ__JSON_WANT_FIRST_KEY) break;
        if (c != '"') return cq__json_fail(s, "JSON: a key in quotes was expected", err);
        if (cq__json_scan_string(s, err)) return CQ_ERR_FORMAT;
        cq__json_skip_space(s);
        if (cq__json_peek(s) != ':') return cq__json_fail(s, "JSON: ':' was expected after the key", err);
        s->pos++;
        s->type = CQ__JSON_KEY;
        s->state = CQ__JSON_WANT_VALUE;
        return CQ_OK;
    case CQ__JSON_WANT_FIRST_VALUE:
        if (c == ']') break;
        return cq__json_scan_value(s, err);
    case CQ__JSON_WANT_VALUE: return cq__json_scan_value(s, err);
    case CQ__JSON_WANT_COMMA: break;
    }
    s->type = CQ__JSON_CLOSE; /* the three ways to get here have all seen the right bracket */
    s->begin = s->pos++;
    s->end = s->pos;
    s->depth--;
    s->objects >>= 1;
    s->state = cq__json_after_value(s);
    return CQ_OK;
}

/* A string byte by byte with its escapes resolved: what comparing, sorting and copying have in common. */
typedef struct cq__json_bytes {
    const char *text;
    size_t pos, end;
    unsigned char more[3]; /* the rest of a UTF-8 sequence, last byte first */
    unsigned left;
} cq__json_bytes;

static void cq__json_bytes_of(cq__json_bytes *b, const char *text, size_t begin, size_t end) {
    b->text = text;
    b->pos = begin;
    b->end = end;
    b->left = 0;
}

/* Four hexadecimal digits, if they stand at pos behind "\u"; else no surrogate and no character: 0xffffffff. */
static uint32_t cq__json_u16(const cq__json_bytes *b, size_t pos) {
    uint32_t u = 0;
    size_t i;
    if (b->end - pos < 6 || b->text[pos] != '\\' || b->text[pos + 1] != 'u') return 0xffffffffu;
    for (i = 2; i < 6; i++) u = u << 4 | (uint32_t)cq__json_hex((unsigned char)b->text[pos + i]);
    return u;
}

/* The next byte, -1 at the end. The scanner has checked all escapes. */
static int cq__json_byte(cq__json_bytes *b) {
    unsigned char c;
    uint32_t u, low;
    if (b->left) return b->more[--b->left];
    if (b->pos == b->end) return -1;
    c = (unsigned char)b->text[b->pos];
    if (c != '\\') {
        b->pos++;
        return c;
    }
    u = cq__json_u16(b, b->pos);
    if (u == 0xffffffffu) {
        c = (unsigned char)b->text[b->pos + 1];
        b->pos += 2;
        switch (c) {
        case 'b': return '\b';
        case 'f': return '\f';
        case 'n': return '\n';
        case 'r': return '\r';
        case 't': return '\t';
        default: return c; /* quote, backslash, slash */
        }
    }
    b->pos += 6;
    if (u >= 0xd800u && u < 0xe000u) { /* surrogates: the high one first, then the low one */
        low = u < 0xdc00u ? cq__json_u16(b, b->pos) : 0;
        if (low >= 0xdc00u && low < 0xe000u) {
            b->pos += 6;
            u = 0x10000u + ((u - 0xd800u) << 10) + (low - 0xdc00u);
        } else {
            u = 0xfffdu;
        }
    }
    if (u < 0x80u) return (int)u;
    b->more[b->left++] = (unsigned char)(0x80u | (u & 0x3fu));
    if (u < 0x800u) return (int)(0xc0u | u >> 6);
    b->more[b->left++] = (unsigned char)(0x80u | (u >> 6 & 0x3fu));
    if (u < 0x10000u) return (int)(0xe0u | u >> 12);
    b->more[b->left++] = (unsigned char)(0x80u | (u >> 12 & 0x3fu));
    return (int)(0xf0u | u >> 18);
}

static int cq__json_compare(cq__json_bytes *a, cq__json_bytes *b) {
    for (;;) {
        int x = cq__json_byte(a), y = cq__json_byte(b);
        if (x != y) return x < y ? -1 : 1; /* the end, -1, comes before every byte */
        if (x < 0) return 0;
    }
}

static int cq__json_compare_keys(const void *user, uint32_t a, uint32_t b) {
    const cq_json *j = (const cq_json *)user;
    cq__json_bytes x, y;
    cq__json_bytes_of(&x, j->text, j->nodes[a].begin, j->nodes[a].end);
    cq__json_bytes_of(&y, j->text, j->nodes[b].begin, j->nodes[b].end);
    return cq__json_compare(&x, &y);
}

/* Heap sort: in place, no recursion, n log n comparisons whatever the input, which may be hostile.
   a[0 .. n) is a heap when no element is below either child: a[i] >= a[2i + 1], a[2i + 2]. */
static void cq__sort_u32(uint32_t *a, size_t n, int (*compare)(const void *user, uint32_t a, uint32_t b),
                         const void *user) {
    size_t start = n / 2, end = n, i, child;
    while (end > 1) {
        uint32_t x;
        if (start > 0) { /* first make a heap, from the last parent to the root */
            x = a[--start];
        } else { /* then move the greatest behind the heap, and what stood there down from the root */
            x = a[--end];
            a[end] = a[0];
        }
        for (i = start; (child = 2 * i + 1) < end; i = child) {
            if (child + 1 < end && compare(user, a[child], a[child + 1]) < 0) child++;
            if (compare(user, x, a[child]) >= 0) break;
            a[i] = a[child];
        }
        a[i] = x;
    }
}

/* First pass: is it JSON, and how many nodes and keys has it? */
static cq_status cq__json_count(const char *text, size_t len, size_t *nodes, size_t *keys, cq_error *err) {
    cq__json_scan s;
    *nodes = *keys = 0;
    for (cq__json_start(&s, text, len);;) {
        if (cq__json_token(&s, err)) return CQ_ERR_FORMAT;
        if (s.type == CQ__JSON_END) return CQ_OK;
        if (s.type != CQ__JSON_CLOSE) ++*nodes;
        if (s.type == CQ__JSON_KEY) ++*keys;
    }
}

/* Sorts the keys of a complete object, which become sorted[first ..), and refuses neighbours that are equal. */
static cq_status cq__json_sort_keys(const cq_json *j, cq_json_node *object, uint32_t *sorted, size_t first,
                                    cq_error *err) {
    uint32_t key, n = 0, i;
    object->keys = (uint32_t)first;
    for (key = object->child; key; key = j->nodes[key].next) sorted[first + n++] = key;
    cq__sort_u32(sorted + first, n, cq__json_compare_keys, j);
    for (i = 1; i < n; i++) {
        uint32_t a = sorted[first + i - 1], b = sorted[first + i];
        const cq_json_node *k = &j->nodes[a > b ? a : b]; /* nodes are in the order of the text: the later one */
        if (!cq__json_compare_keys(j, a, b))
            return cq_fail_at(err, CQ_ERR_FORMAT, "JSON: this key is in its object twice (byte)", j->text + k->begin,
                              k->end - k->begin, k->begin, INT64_MIN);
    }
    return CQ_OK;
}

CQUANT_DEF cq_status cq_json_parse(cq_json *j, const char *text, size_t len, cq_arena *arena, cq_error *err) {
    cq__json_scan s;
    cq_json_node *nodes;
    uint32_t *sorted;
    size_t count, keys, used_keys = 0;
    uint32_t n = 0;
    uint32_t open[CQ_JSON_DEPTH + 1], last[CQ_JSON_DEPTH + 1]; /* by depth: the container, its last child so far */
    j->text = text;
    j->len = len;
    j->nodes = NULL;
    j->sorted = NULL;
    j->count = 0;
    if (len >= UINT32_MAX) return cq_fail(err, CQ_ERR_RANGE, "JSON: the text must be shorter than 4 GiB");
    if (cq__json_count(text, len, &count, &keys, err)) return CQ_ERR_FORMAT;
    j->count = count;
    nodes = (cq_json_node *)cq_alloc(arena, count, sizeof *nodes);
    sorted = (uint32_t *)cq_alloc(arena, keys, sizeof *sorted);
    if (arena->failed)
        return cq_fail_at(err, CQ_ERR_MEMORY, "JSON: the arena is too small for this many nodes", NULL, 0, UINT64_MAX,
                          (int64_t)count);
    if (!arena->base) return CQ_OK;
    j->nodes = nodes;
    j->sorted = sorted;

    for (cq__json_start(&s, text, len);;) {
        cq_json_node *node;
        unsigned depth = s.depth; /* before the token: what it stands in */
        if (cq__json_token(&s, err)) return CQ_ERR_FORMAT;
        if (s.type == CQ__JSON_END) return CQ_OK;
        if (s.type == CQ__JSON_CLOSE) {
            node = &nodes[open[depth]];
            node->end = (uint32_t)s.end;
            if (node->type == CQ_JSON_OBJECT) {
                if (cq__json_sort_keys(j, node, sorted, used_keys, err)) return CQ_ERR_FORMAT;
                used_keys += node->count;
            }
            continue;
        }
        node = &nodes[n];
        node->type = (uint8_t)(s.type == CQ__JSON_KEY ? (unsigned)CQ_JSON_STRING : s.type);
        node->escaped = s.escaped && node->type == CQ_JSON_STRING;
        node->begin = (uint32_t)s.begin;
        node->end = (uint32_t)s.end;
        if (depth > 0) {
            cq_json_node *parent = &nodes[open[depth]];
            if (parent->type == CQ_JSON_OBJECT && s.type != CQ__JSON_KEY) {
                nodes[last[depth]].child = n; /* the value of the last key */
            } else {
                if (parent->count++) nodes[last[depth]].next = n;
                else parent->child = n;
                last[depth] = n;
            }
        }
        if (s.depth > depth) open[s.depth] = n;
        n++;
    }
}

CQUANT_DEF uint32_t cq_json_find_n(const cq_json *j, uint32_t object, const char *key, size_t key_len) {
    uint32_t lo, hi;
    if (object >= j->count || j->nodes[object].type != CQ_JSON_OBJECT) return 0;
    lo = j->nodes[object].keys;
    hi = lo + j->nodes[object].count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const cq_json_node *k = &j->nodes[j->sorted[mid]];
        cq__json_bytes b;
        size_t i = 0;
        int c, want;
        cq__json_bytes_of(&b, j->text, k->begin, k->end);
        do { /* not cq__json_compare: the key asked for is plain text, in which a backslash is a backslash */
            c = cq__json_byte(&b);
            want = i < key_len ? (int)(unsigned char)key[i++] : -1;
        } while (c == want && c >= 0);
        if (c == want) return k->child;
        if (c < want) lo = mid + 1;
        else hi = mid;
    }
    return 0;
}

CQUANT_DEF uint32_t cq_json_find(const cq_json *j, uint32_t object, const char *key) {
    return cq_json_find_n(j, object, key, cq__strlen(key));
}

CQUANT_DEF uint32_t cq_json_path(const cq_json *j, uint32_t object, const char *path) {
    for (;;) {
        size_t n = 0;
        while (path[n] && path[n] != '.') n++;
        object = cq_json_find_n(j, object, path, n);
        if (!object || !path[n]) return object;
        path += n + 1;
    }
}

CQUANT_DEF uint32_t cq_json_child(const cq_json *j, uint32_t node) {
    return node < j->count ? j->nodes[node].child : 0;
}

CQUANT_DEF uint32_t cq_json_next(const cq_json *j, uint32_t node) { return node < j->count ? j->nodes[node].next : 0; }

CQUANT_DEF cq_json_type cq_json_kind(const cq_json *j, uint32_t node) {
    return node < j->count ? (cq_json_type)j->nodes[node].type : CQ_JSON_NULL;
}

CQUANT_DEF bool cq_json_is_null(const cq_json *j, uint32_t node) {
    return node < j->count && j->nodes[node].type == CQ_JSON_NULL;
}

CQUANT_DEF bool cq_json_bool(const cq_json *j, uint32_t node, bool *out) {
    cq_json_type type = cq_json_kind(j, node);
    if (type != CQ_JSON_TRUE && type != CQ_JSON_FALSE) return false;
    *out = type == CQ_JSON_TRUE;
    return true;
}

CQUANT_DEF bool cq_json_string_eq(const cq_json *j, uint32_t node, const char *literal) {
    cq__json_bytes b;
    int c;
    if (cq_json_kind(j, node) != CQ_JSON_STRING) return false;
    cq__json_bytes_of(&b, j->text, j->nodes[node].begin, j->nodes[node].end);
    while ((c = cq__json_byte(&b)) > 0 && c == (int)(unsigned char)*literal) literal++;
    return c < 0 && !*literal; /* an escaped zero byte equals no literal */
}

static size_t cq__json_copy(const char *text, size_t begin, size_t end, char *out, size_t size) {
    cq__json_bytes b;
    size_t n = 0;
    int c;
    cq__json_bytes_of(&b, text, begin, end);
    for (; (c = cq__json_byte(&b)) >= 0; n++)
        if (n < size) out[n] = (char)(unsigned char)c;
    return n;
}

CQUANT_DEF size_t cq_json_unescape(const cq_json *j, uint32_t node, char *out, size_t size) {
    if (cq_json_kind(j, node) != CQ_JSON_STRING) return 0;
    return cq__json_copy(j->text, j->nodes[node].begin, j->nodes[node].end, out, size);
}

/* A decimal number taken apart: its digits from the first to the last that is not 0, and the place of the point:
   value = 0.DDDD x 10^point. The digits may have '.' between them. */
typedef struct cq__decimal {
    const char *first, *last; /* last: behind it; first == last: zero */
    int64_t point;
    bool negative;
} cq__decimal;

/* s[0 .. n) has been checked by cq__json_scan_number and is no NaN or Infinity. */
static void cq__decimal_read(cq__decimal *d, const char *s, size_t n) {
    int64_t exponent = 0, before = 0;
    bool down = false, point_seen = false;
    size_t i = 0;
    d->first = d->last = NULL;
    d->negative = s[0] == '-';
    if (d->negative) i++;
    for (; i < n && s[i] != 'e' && s[i] != 'E'; i++) {
        if (s[i] == '.') {
            point_seen = true;
            continue;
        }
        if (s[i] != '0') {
            if (!d->first) d->first = s + i;
            d->last = s + i + 1;
        }
        if (!point_seen && d->first) before++;  /* digits between the first and the point count up ... */
        if (point_seen && !d->first) before--;  /* ... zeros between the point and the first count down */
    }
    if (i < n) {
        i++;
        if (s[i] == '+' || s[i] == '-') down = s[i++] == '-';
        for (; i < n; i++)
            if (exponent < 100000000000) exponent = 10 * exponent + (s[i] - '0'); /* beyond any text below 4 GiB */
    }
    d->point = before + (down ? -exponent : exponent);
    if (!d->first) d->first = d->last = s;
}

/* The text of a number; false for other nodes, and for NaN and Infinity unless `word` takes their first letter. */
static bool cq__json_number(const cq_json *j, uint32_t node, const char **s, size_t *n, char *word) {
    if (cq_json_kind(j, node) != CQ_JSON_NUMBER) return false;
    *s = j->text + j->nodes[node].begin;
    *n = j->nodes[node].end - j->nodes[node].begin;
    *word = (*s)[*n > 1 && **s == '-' ? 1 : 0];
    return true;
}

static bool cq__decimal_int(const cq__decimal *d, int64_t *out) {
    uint64_t limit = d->negative ? (uint64_t)INT64_MAX + 1u : (uint64_t)INT64_MAX, v = 0;
    int64_t i;
    const char *p = d->first;
    if (d->first == d->last) {
        *out = 0;
        return true;
    }
    if (d->point < 1 || d->point > 19) return false; /* below 1, or above 10^19 > 2^63 */
    for (i = 0; i < d->point; i++) {
        unsigned digit = 0;
        if (p < d->last && *p == '.') p++;
        if (p < d->last) digit = (unsigned)(*p++ - '0');
        if (v > (limit - digit) / 10) return false;
        v = 10 * v + digit;
    }
    if (p < d->last) return false; /* digits behind the point, and the last one is not 0 */
    *out = d->negative ? (v ? -(int64_t)(v - 1) - 1 : 0) : (int64_t)v;
    return true;
}

CQUANT_DEF bool cq_json_int(const cq_json *j, uint32_t node, int64_t *out) {
    cq__decimal d;
    const char *s;
    size_t n;
    char word;
    if (!cq__json_number(j, node, &s, &n, &word) || word == 'N' || word == 'I') return false;
    cq__decimal_read(&d, s, n);
    return cq__decimal_int(&d, out);
}

/* Natural numbers below 2^640. The largest met is 4 x 10^165, 551 bits: 120 digits of a number near 10^-45. */
#define CQ__BIG 20u
typedef struct cq__big {
    uint32_t w[CQ__BIG]; /* lowest first */
} cq__big;

static void cq__big_set(cq__big *a, uint32_t x) {
    unsigned i;
    for (i = 0; i < CQ__BIG; i++) a->w[i] = 0;
    a->w[0] = x;
}

static void cq__big_mul_add(cq__big *a, uint32_t m, uint32_t add) { /* a = a m + add */
    uint64_t carry = add;
    unsigned i;
    for (i = 0; i < CQ__BIG; i++) {
        carry += (uint64_t)a->w[i] * m;
        a->w[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static int cq__big_compare(const cq__big *a, const cq__big *b) {
    unsigned i;
    for (i = CQ__BIG; i-- > 0;)
        if (a->w[i] != b->w[i]) return a->w[i] < b->w[i] ? -1 : 1;
    return 0;
}

static void cq__big_sub(cq__big *a, const cq__big *b) { /* a -= b, a >= b */
    uint64_t borrow = 0;
    unsigned i;
    for (i = 0; i < CQ__BIG; i++) {
        uint64_t x = (uint64_t)a->w[i] - b->w[i] - borrow;
        a->w[i] = (uint32_t)x;
        borrow = x >> 63;
    }
}

/* The float nearest to d, as bits without sign. Exact: d = N / M in big integers, M <= N < 2 M after doubling one of
   them k times; then 24 bits by long division, and what remains decides the rounding.
   A number half way between two floats has at most 112 digits: of those after 120 all that matters is whether any is
   not 0. */
static uint32_t cq__decimal_float_bits(const cq__decimal *d) {
    cq__big N, M;
    const char *p;
    int digits = 0, k = 0, i, c;
    int64_t e;
    uint32_t m = 0;
    bool rest = false;
    if (d->first == d->last || d->point < -45) return 0; /* below 10^-45 / 2, and half the least float is 0.7 10^-45 */
    if (d->point > 39) return 0x7f800000u;
    cq__big_set(&N, 0);
    cq__big_set(&M, 1);
    for (p = d->first; p < d->last; p++) {
        if (*p == '.') continue;
        if (digits == 120) {
            rest = true; /* the last digit is not 0 */
            break;
        }
        cq__big_mul_add(&N, 10, (uint32_t)(*p - '0'));
        digits++;
    }
    e = d->point - digits; /* d = N x 10^e, -165 <= e <= 38 */
    for (; e > 0; e--) cq__big_mul_add(&N, 10, 0);
    for (; e < 0; e++) cq__big_mul_add(&M, 10, 0);
    while (cq__big_compare(&N, &M) >= 0) { /* until N < M ... */
        cq__big_mul_add(&M, 2, 0);
        k++;
    }
    do { /* ... then once back: 1 <= N / M < 2, and d = N / M x 2^k; below 2^-126 no further: subnormal, 0.xxx */
        cq__big_mul_add(&N, 2, 0);
        k--;
    } while (k > -126 && cq__big_compare(&N, &M) < 0);
    for (i = 0; i < 24; i++) {
        m <<= 1;
        if (cq__big_compare(&N, &M) >= 0) {
            cq__big_sub(&N, &M);
            m |= 1u;
        }
        cq__big_mul_add(&N, 2, 0);
    }
    c = cq__big_compare(&N, &M); /* N / M is now twice what remains, in units of the last bit */
    if (c > 0 || (c == 0 && (rest || (m & 1u)))) m++;
    /* Adding, not or-ing: a carry out of the mantissa rightly raises the exponent, up to infinity. */
    if (k > 127) return 0x7f800000u;
    return m < 0x800000u ? m : ((uint32_t)(k + 126) << 23) + m;
}

CQUANT_DEF bool cq_json_float(const cq_json *j, uint32_t node, float *out) {
    uint32_t bits;
    cq__decimal d;
    const char *s;
    size_t n;
    char word;
    if (!cq__json_number(j, node, &s, &n, &word)) return false;
    if (word == 'N') {
        bits = 0x7fc00000u;
    } else if (word == 'I') {
        bits = 0x7f800000u | (*s == '-' ? 0x80000000u : 0u);
    } else {
        cq__decimal_read(&d, s, n);
        bits = cq__decimal_float_bits(&d) | (d.negative ? 0x80000000u : 0u);
    }
    *out = cq__float(bits);
    return true;
}
/* ===================================================================================================================
   [LESSON 2 files]  named tensors
   ================================================================================================================== */
CQUANT_DEF const char *cq_dtype_name(cq_dtype dtype) {
#define CQ__DTYPE_NAME(name, bits) #name,
    static const char *const names[] = {CQ_DTYPE_LIST(CQ__DTYPE_NAME) "packed"};
    return (unsigned)dtype <= CQ_DTYPE_PACKED ? names[dtype] : "unknown";
}

CQUANT_DEF unsigned cq_dtype_bits(cq_dtype dtype) {
#define CQ__DTYPE_BITS(name, bits) bits,
    static const uint8_t table[] = {CQ_DTYPE_LIST(CQ__DTYPE_BITS) 0};
    return (unsigned)dtype <= CQ_DTYPE_PACKED ? table[dtype] : 0;
}

static bool cq__mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    if (b && a > UINT64_MAX / b) return false;
    *out = a * b;
    return true;
}

static int cq__compare_names(const char *a, size_t a_len, const char *b, size_t b_len) {
    size_t i;
    for (i = 0; i < a_len && i < b_len; i++)
        if (a[i] != b[i]) return (unsigned char)a[i] < (unsigned char)b[i] ? -1 : 1;
    return a_len == b_len ? 0 : a_len < b_len ? -1 : 1;
}

CQUANT_DEF const cq_named *cq_weights_find(const cq_weights *w, const char *name, size_t name_len) {
    size_t lo = 0, hi = w->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = cq__compare_names(w->list[mid].name, w->list[mid].name_len, name, name_len);
        if (c == 0) return &w->list[mid];
        if (c < 0) lo = mid + 1;
        else hi = mid;
    }
    return NULL;
}

static int cq__named_by_name(const void *user, uint32_t a, uint32_t b) {
    const cq_named *list = (const cq_named *)user;
    return cq__compare_names(list[a].name, list[a].name_len, list[b].name, list[b].name_len);
}

/* By place in the file; of those that begin together the empty ones first. */
static int cq__named_by_place(const void *user, uint32_t a, uint32_t b) {
    const cq_named *x = (const cq_named *)user + a, *y = (const cq_named *)user + b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->bytes == y->bytes ? 0 : x->bytes < y->bytes ? -1 : 1;
}

/* order[i]: which of the list comes i-th by name. A name that is there twice is an error, `what`. */
static cq_status cq__named_order(const cq_named *list, uint32_t *order, size_t n, const char *what, cq_error *err) {
    size_t i;
    for (i = 0; i < n; i++) order[i] = (uint32_t)i;
    cq__sort_u32(order, n, cq__named_by_name, list);
    for (i = 1; i < n; i++)
        if (!cq__named_by_name(list, order[i - 1], order[i]))
            return cq_fail_at(err, CQ_ERR_FORMAT, what, list[order[i]].name, list[order[i]].name_len, UINT64_MAX,
                              INT64_MIN);
    return CQ_OK;
}

/* Moves list[order[i]] to list[i], in place: each cycle of the permutation is walked once. Leaves order[i] = i. */
static void cq__named_permute(cq_named *list, uint32_t *order, size_t n) {
    size_t i, at, from;
    cq_named first;
    for (i = 0; i < n; i++) {
        if (order[i] == i) continue;
        cq__copy(&first, &list[i], sizeof first);
        for (at = i; (from = order[at]) != i; at = from) {
            cq__copy(&list[at], &list[from], sizeof first);
            order[at] = (uint32_t)at;
        }
        cq__copy(&list[at], &first, sizeof first);
        order[at] = (uint32_t)at;
    }
}

CQUANT_DEF cq_status cq_weights_merge(const cq_weights *parts, size_t n, cq_arena *arena, cq_weights *out,
                                      cq_error *err) {
    cq_named *list;
    uint32_t *order;
    size_t i, count = 0;
    out->list = NULL;
    out->count = 0;
    for (i = 0; i < n; i++) {
        if (parts[i].count > UINT32_MAX - count) return cq_fail(err, CQ_ERR_RANGE, "shards: too many tensors");
        count += parts[i].count;
    }
    out->count = count;
    list = (cq_named *)cq_alloc(arena, count, sizeof *list);
    order = (uint32_t *)cq_alloc(arena, count, sizeof *order);
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "shards: the arena is too small for the list of tensors");
    if (!arena->base) return CQ_OK;
    for (count = i = 0; i < n; i++) {
        cq__copy(list + count, parts[i].list, parts[i].count * sizeof *list);
        count += parts[i].count;
    }
    if (cq__named_order(list, order, count, "shards: this tensor is in two of them", err)) return CQ_ERR_FORMAT;
    cq__named_permute(list, order, count);
    out->list = list;
    return CQ_OK;
}

/* Sets rows and cols of t->t, and t->ndim, from a growing list of dimensions: start, push each, and count. */
static void cq__shape_start(cq_named *t, uint64_t *rows, uint64_t *cols) {
    size_t i;
    for (i = 0; i < 4; i++) t->shape[i] = 0;
    t->ndim = 0;
    *rows = *cols = 1;
}

static bool cq__shape_push(cq_named *t, uint64_t *rows, uint64_t *cols, uint64_t dim) {
    if (!cq__mul_u64(*rows, *cols, rows)) return false; /* the last dimension so far is no longer the last */
    *cols = dim;
    if (t->ndim < 4) t->shape[t->ndim] = dim;
    else if (!cq__mul_u64(t->shape[3], dim, &t->shape[3])) return false;
    t->ndim++;
    return true;
}

/* ===================================================================================================================
   [LESSON 2 files]  safetensors
   The scanner of [LESSON 1] alone: the header may be 100 MB, a tree of it several times as much. The header
   is read twice by the same code, first to count, then to fill the list.
   ================================================================================================================== */
typedef struct cq__st {
    cq__json_scan s;
    const unsigned char *body; /* behind the header */
    uint64_t body_size;
    cq_named t;     /* the entry being read */
    size_t count;   /* of tensors */
    char *names;    /* NULL while counting */
    size_t escaped; /* bytes of names that had to be unescaped */
} cq__st;

/* An error at the present token, which belongs to the present tensor. */
static cq_status cq__st_fail(const cq__st *r, const char *what, int64_t got, cq_error *err) {
    return cq_fail_at(err, CQ_ERR_FORMAT, what, r->t.name, r->t.name_len, r->s.begin, got);
}

/* Is the present token this text (written without escapes)? */
static bool cq__st_is(const cq__st *r, const char *text) {
    size_t n = r->s.end - r->s.begin;
    return n == cq__strlen(text) && cq__equal(r->s.text + r->s.begin, text, n);
}

static cq_status cq__st_number(const cq__st *r, uint64_t *out, cq_error *err) {
    size_t i;
    uint64_t v = 0;
    if (r->s.type != CQ_JSON_NUMBER) return cq__st_fail(r, "safetensors: a number was expected", INT64_MIN, err);
    for (i = r->s.begin; i < r->s.end; i++) {
        unsigned digit = (unsigned)(unsigned char)r->s.text[i] - '0';
        if (digit > 9) return cq__st_fail(r, "safetensors: numbers must be digits only", INT64_MIN, err);
        if (v > ((uint64_t)INT64_MAX - digit) / 10)
            return cq__st_fail(r, "safetensors: number above 2^63", INT64_MIN, err);
        v = 10 * v + digit;
    }
    *out = v;
    return CQ_OK;
}

static cq_status cq__st_dtype(cq__st *r, cq_error *err) {
    unsigned d;
    if (r->s.type == CQ_JSON_STRING)
        for (d = 0; d < CQ_DTYPE_PACKED; d++)
            if (cq__st_is(r, cq_dtype_name((cq_dtype)d))) {
                r->t.dtype = (uint8_t)d;
                return CQ_OK;
            }
    return cq__st_fail(r, "safetensors: dtype must be a known one, as \"F32\", \"F16\", \"BF16\", \"I64\"", INT64_MIN,
                       err);
}

static cq_status cq__st_shape(cq__st *r, uint64_t *rows, uint64_t *cols, cq_error *err) {
    uint64_t dim;
    cq_status status;
    if (r->s.type != CQ_JSON_ARRAY) return cq__st_fail(r, "safetensors: shape must be a list", INT64_MIN, err);
    for (cq__shape_start(&r->t, rows, cols);;) {
        if ((status = cq__json_token(&r->s, err)) != CQ_OK || r->s.type == CQ__JSON_CLOSE) return status;
        if ((status = cq__st_number(r, &dim, err)) != CQ_OK) return status;
        if (r->t.ndim == CQ_NDIM_MAX) return cq__st_fail(r, "safetensors: more than 8 dimensions", INT64_MIN, err);
        if (!cq__shape_push(&r->t, rows, cols, dim))
            return cq__st_fail(r, "safetensors: product of the shape above 2^64", (int64_t)dim, err);
    }
}

static cq_status cq__st_offsets(cq__st *r, uint64_t *begin, uint64_t *end, cq_error *err) {
    cq_status status;
    if (r->s.type != CQ_JSON_ARRAY)
        return cq__st_fail(r, "safetensors: data_offsets must be a list [begin, end]", INT64_MIN, err);
    if ((status = cq__json_token(&r->s, err)) != CQ_OK || (status = cq__st_number(r, begin, err)) != CQ_OK ||
        (status = cq__json_token(&r->s, err)) != CQ_OK || (status = cq__st_number(r, end, err)) != CQ_OK ||
        (status = cq__json_token(&r->s, err)) != CQ_OK)
        return status;
    if (r->s.type != CQ__JSON_CLOSE)
        return cq__st_fail(r, "safetensors: data_offsets must have two numbers", INT64_MIN, err);
    if (*begin > *end) return cq__st_fail(r, "safetensors: data_offsets end before they begin", (int64_t)*end, err);
    if (*end > r->body_size)
        return cq__st_fail(r, "safetensors: data_offsets end behind the file (is it cut off?)", (int64_t)*end, err);
    return CQ_OK;
}

/* Dtype, shape and extent must agree; then r->t becomes a view. */
static cq_status cq__st_view(cq__st *r, uint64_t rows, uint64_t cols, uint64_t begin, uint64_t end, cq_error *err) {
    cq_named *t = &r->t;
    uint64_t n;
    if (!cq__mul_u64(rows, cols, &n) || !cq__mul_u64(n, cq_dtype_bits((cq_dtype)t->dtype), &n) || n % 8)
        return cq__st_fail(r, "safetensors: shape times dtype is above 2^64 bits or no whole number of bytes",
                           INT64_MIN, err);
    if (n / 8 != end - begin)
        return cq__st_fail(r, "safetensors: data_offsets do not span shape times dtype, but (bytes)",
                           (int64_t)(end - begin), err);
    if (rows > SIZE_MAX || cols > SIZE_MAX)
        return cq_fail_at(err, CQ_ERR_RANGE, "safetensors: tensor is too large for this machine", t->name, t->name_len,
                          r->s.begin, INT64_MIN);
    t->bytes = end - begin;
    t->data = r->body + begin;
    if (t->dtype <= CQ_DTYPE_BF16) {
        cq_status status =
            cq_tensor_init(&t->t, (cq_format)t->dtype, CQ_ROWS, (size_t)rows, (size_t)cols, 0, false, err);
        if (status)
            return cq_fail_at(err, status, "safetensors: tensor is too large for this machine", t->name, t->name_len,
                              r->s.begin, INT64_MIN);
        t->t.data = t->data;
    } else {
        cq__fill(&t->t, 0, sizeof t->t); /* no data: not to be used as a matrix */
        t->t.format = CQ_F32;
        t->t.layout = CQ_ROWS;
        t->t.rows = (size_t)rows;
        t->t.cols = (size_t)cols;
    }
    return CQ_OK;
}

/* {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}, in any order, each once */
static cq_status cq__st_entry(cq__st *r, cq_error *err) {
    static const char *const field[3] = {"dtype", "shape", "data_offsets"};
    uint64_t rows = 0, cols = 0, begin = 0, end = 0;
    unsigned seen = 0, f;
    cq_status status = cq__json_token(&r->s, err);
    if (status) return status;
    if (r->s.type != CQ_JSON_OBJECT) return cq__st_fail(r, "safetensors: an object was expected", INT64_MIN, err);
    for (;;) {
        if ((status = cq__json_token(&r->s, err)) != CQ_OK) return status;
        if (r->s.type == CQ__JSON_CLOSE) break;
        for (f = 0; f < 3 && !cq__st_is(r, field[f]); f++) {}
        if (f == 3)
            return cq__st_fail(r, "safetensors: a tensor has dtype, shape, data_offsets and nothing else", INT64_MIN,
                               err);
        if (seen >> f & 1u) return cq__st_fail(r, "safetensors: this field is there twice", INT64_MIN, err);
        seen |= 1u << f;
        if ((status = cq__json_token(&r->s, err)) != CQ_OK) return status;
        status = f == 0   ? cq__st_dtype(r, err)
                 : f == 1 ? cq__st_shape(r, &rows, &cols, err)
                          : cq__st_offsets(r, &begin, &end, err);
        if (status) return status;
    }
    if (seen != 7u)
        return cq__st_fail(r, "safetensors: a tensor needs dtype, shape and data_offsets", INT64_MIN, err);
    return cq__st_view(r, rows, cols, begin, end, err);
}

/* {text: text, ...}: nothing in it is used. */
static cq_status cq__st_metadata(cq__st *r, cq_error *err) {
    cq_status status = cq__json_token(&r->s, err);
    if (status) return status;
    if (r->s.type != CQ_JSON_OBJECT)
        return cq__st_fail(r, "safetensors: __metadata__ must be an object", INT64_MIN, err);
    for (;;) {
        if ((status = cq__json_token(&r->s, err)) != CQ_OK || r->s.type == CQ__JSON_CLOSE) return status;
        if ((status = cq__json_token(&r->s, err)) != CQ_OK) return status;
        if (r->s.type != CQ_JSON_STRING)
            return cq__st_fail(r, "safetensors: __metadata__ may hold texts only", INT64_MIN, err);
    }
}

/* The present token is a key: the name of the next tensor. */
static cq_status cq__st_name(cq__st *r, cq_error *err) {
    cq__json_bytes b;
    size_t n = 0;
    int c;
    cq__json_bytes_of(&b, r->s.text, r->s.begin, r->s.end);
    r->t.name = r->s.text + r->s.begin;
    r->t.name_len = r->s.end - r->s.begin;
    while ((c = cq__json_byte(&b)) > 0) n++;
    if (c == 0 || n == 0 || n > CQ_NAME_MAX)
        return cq__st_fail(r, "safetensors: a name must have 1 to 1024 bytes, none of them zero", (int64_t)n, err);
    if (r->s.escaped) {
        if (r->names) {
            r->t.name = r->names + r->escaped;
            r->t.name_len = n;
            cq__json_copy(r->s.text, r->s.begin, r->s.end, r->names + r->escaped, n);
        }
        r->escaped += n;
    }
    return CQ_OK;
}

/* Reads the header: counts the tensors, and puts them on the list if there is one. */
static cq_status cq__st_header(cq__st *r, uint32_t file, cq_named *list, cq_error *err) {
    bool metadata = false;
    cq_status status = cq__json_token(&r->s, err);
    r->count = r->escaped = 0;
    if (status) return status;
    if (r->s.type != CQ_JSON_OBJECT)
        return cq__st_fail(r, "safetensors: the header must be an object", INT64_MIN, err);
    for (;;) {
        r->t.name = NULL;
        r->t.name_len = 0;
        if ((status = cq__json_token(&r->s, err)) != CQ_OK) return status;
        if (r->s.type == CQ__JSON_CLOSE) break;
        if (cq__st_is(r, "__metadata__")) {
            if (metadata) return cq__st_fail(r, "safetensors: __metadata__ is there twice", INT64_MIN, err);
            metadata = true;
            if ((status = cq__st_metadata(r, err)) != CQ_OK) return status;
            continue;
        }
        if ((status = cq__st_name(r, err)) != CQ_OK || (status = cq__st_entry(r, err)) != CQ_OK) return status;
        r->t.file = file;
        if (list) cq__copy(&list[r->count], &r->t, sizeof r->t);
        r->count++;
    }
    return cq__json_token(&r->s, err); /* the end, or what should not follow */
}

/* In the order of their places the tensors must follow each other and fill the body. */
static cq_status cq__st_places(const cq__st *r, const cq_named *list, uint32_t *order, const unsigned char *file,
                               cq_error *err) {
    const unsigned char *at = r->body;
    size_t i;
    cq__sort_u32(order, r->count, cq__named_by_place, list);
    for (i = 0; i < r->count; i++) {
        const cq_named *t = &list[order[i]];
        if (t->data != at)
            return cq_fail_at(err, CQ_ERR_FORMAT,
                              t->data < at ? "safetensors: this tensor overlaps another (byte)"
                                           : "safetensors: there is a gap before this tensor (byte)",
                              t->name, t->name_len, (uint64_t)(t->data - file), INT64_MIN);
        at += t->bytes;
    }
    if (at != r->body + r->body_size)
        return cq_fail_at(err, CQ_ERR_FORMAT, "safetensors: bytes that belong to no tensor end the file", NULL, 0,
                          (uint64_t)(at - file), INT64_MIN);
    return CQ_OK;
}

static void cq__st_start(cq__st *r, const unsigned char *data, size_t size, uint64_t header) {
    cq__fill(r, 0, sizeof *r);
    cq__json_start(&r->s, (const char *)data + 8, (size_t)header);
    r->body = data + 8 + header;
    r->body_size = size - 8 - header;
}

CQUANT_DEF cq_status cq_safetensors_read(const unsigned char *data, size_t size, uint32_t file, cq_arena *arena,
                                         cq_weights *out, cq_error *err) {
    cq__st r;
    cq_named *list;
    uint32_t *order;
    char *names;
    uint64_t header;
    cq_status status;
    out->list = NULL;
    out->count = 0;
    if (size < 8) return cq_fail_at(err, CQ_ERR_FORMAT, "safetensors: the file is shorter than 8 bytes", NULL, 0, 0,
                                    (int64_t)size);
    header = cq__u64(data);
    if (header > CQ_SAFETENSORS_MAX_HEADER || header > size - 8)
        return cq_fail_at(err, CQ_ERR_FORMAT, "safetensors: length of the header above 100 MB, or behind the file",
                          NULL, 0, 0, header > (uint64_t)INT64_MAX ? INT64_MAX : (int64_t)header);
    cq__st_start(&r, data, size, header);
    status = header && data[8] == '{' ? cq__st_header(&r, file, NULL, err)
                                      : cq__st_fail(&r, "safetensors: the header must begin with '{'", INT64_MIN, err);
    if (status) {
        if (err && err->where != UINT64_MAX) err->where += 8; /* from a place in the header to one in the file */
        return status;
    }
    out->count = r.count;
    list = (cq_named *)cq_alloc(arena, r.count, sizeof *list);
    order = (uint32_t *)cq_alloc(arena, r.count, sizeof *order);
    names = (char *)cq_alloc(arena, r.escaped, 1);
    if (arena->failed)
        return cq_fail_at(err, CQ_ERR_MEMORY, "safetensors: the arena is too small for this many tensors", NULL, 0,
                          UINT64_MAX, (int64_t)r.count);
    if (!arena->base) return CQ_OK;
    cq__st_start(&r, data, size, header);
    r.names = names;
    status = cq__st_header(&r, file, list, err); /* as before: it succeeds */
    if (status) return status;
    status = cq__named_order(list, order, r.count, "safetensors: this tensor is there twice", err);
    if (status) return status;
    cq__named_permute(list, order, r.count);
    status = cq__st_places(&r, list, order, data, err);
    if (status) return status;
    out->list = list;
    return CQ_OK;
}

/* Text that is written, or only counted when it does not fit. */
typedef struct cq__text {
    unsigned char *out;
    size_t size, used;
} cq__text;

static void cq__text_byte(cq__text *w, unsigned char c) {
    if (w->used < w->size) w->out[w->used] = c;
    w->used++;
}

static void cq__text_add(cq__text *w, const char *s) {
    while (*s) cq__text_byte(w, (unsigned char)*s++);
}

static void cq__text_number(cq__text *w, uint64_t v) {
    char digits[20];
    size_t n = 0;
    do digits[n++] = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    while (n > 0) cq__text_byte(w, (unsigned char)digits[--n]);
}

static void cq__text_quoted(cq__text *w, const char *s, size_t n) {
    static const char hex[] = "0123456789abcdef";
    size_t i;
    cq__text_byte(w, '"');
    for (i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < 0x20) {
            cq__text_add(w, "\\u00");
            cq__text_byte(w, (unsigned char)hex[c >> 4]);
            cq__text_byte(w, (unsigned char)hex[c & 15u]);
        } else {
            if (c == '"' || c == '\\') cq__text_byte(w, '\\');
            cq__text_byte(w, c);
        }
    }
    cq__text_byte(w, '"');
}

static bool cq__named_ok(const cq_named *t) { /* what a writer asks of the caller */
    size_t i;
    if (t->name_len < 1 || t->name_len > CQ_NAME_MAX || t->ndim > 4) return false;
    for (i = 0; i < t->name_len; i++)
        if (!t->name[i]) return false;
    return true;
}

CQUANT_DEF cq_status cq_safetensors_header(const cq_named *list, size_t n, unsigned char *out, size_t size,
                                           size_t *need, uint64_t *offsets, cq_error *err) {
    cq__text w;
    uint64_t at = 0, bytes, end;
    size_t i, d;
    w.out = out;
    w.size = out ? size : 0;
    w.used = 8;
    cq__text_add(&w, "{\"__metadata__\":{\"format\":\"pt\"}"); /* transformers wants to know from which framework */
    for (i = 0; i < n; i++) {
        const cq_named *t = &list[i];
        if (!cq__named_ok(t) || t->dtype >= CQ_DTYPE_PACKED)
            return cq_fail_at(err, CQ_ERR_ARG,
                              "safetensors: needs a name of 1 to 1024 bytes, at most 4 dimensions and a dtype (entry)",
                              t->name, t->name_len, i, INT64_MIN);
        cq__text_byte(&w, ',');
        cq__text_quoted(&w, t->name, t->name_len);
        cq__text_add(&w, ":{\"dtype\":\"");
        cq__text_add(&w, cq_dtype_name((cq_dtype)t->dtype));
        cq__text_add(&w, "\",\"shape\":[");
        bytes = cq_dtype_bits((cq_dtype)t->dtype);
        for (d = 0; d < t->ndim; d++) {
            if (d) cq__text_byte(&w, ',');
            cq__text_number(&w, t->shape[d]);
            if (!cq__mul_u64(bytes, t->shape[d], &bytes)) bytes = UINT64_MAX; /* no multiple of 8 */
        }
        end = at + bytes / 8;
        if (bytes % 8 || end > (uint64_t)INT64_MAX)
            return cq_fail_at(err, CQ_ERR_RANGE,
                              "safetensors: shape times dtype too large or no whole number of bytes (entry)", t->name,
                              t->name_len, i, INT64_MIN);
        cq__text_add(&w, "],\"data_offsets\":[");
        cq__text_number(&w, at);
        cq__text_byte(&w, ',');
        cq__text_number(&w, end);
        cq__text_add(&w, "]}");
        if (offsets) offsets[i] = at;
        at = end;
    }
    cq__text_byte(&w, '}');
    while (w.used % 8) cq__text_byte(&w, ' ');
    *need = w.used;
    if (w.used - 8 > CQ_SAFETENSORS_MAX_HEADER)
        return cq_fail_at(err, CQ_ERR_RANGE, "safetensors: the header would be above 100 MB", NULL, 0, UINT64_MAX,
                          (int64_t)w.used);
    if (offsets) {
        for (i = 0; i < n; i++) offsets[i] += w.used;
        offsets[n] = at + w.used;
    }
    if (!out) return CQ_OK;
    if (size < w.used)
        return cq_fail_at(err, CQ_ERR_MEMORY, "safetensors: no room for the header (bytes)", NULL, 0, UINT64_MAX,
                          (int64_t)w.used);
    cq__put64(out, (uint64_t)w.used - 8);
    return CQ_OK;
}

/* ===================================================================================================================
   [LESSON 2 files]  .cq
   ================================================================================================================== */
CQUANT_DEF void cq_checksum_start(cq_checksum *c) {
    c->h = 14695981039346656037u;
    c->word = 0;
    c->length = 0;
}

static uint64_t cq__checksum_step(uint64_t h, uint64_t w) {
    h = (h ^ w) * 1099511628211u;
    return h ^ h >> 32;
}

CQUANT_DEF void cq_checksum_add(cq_checksum *c, const unsigned char *bytes, size_t n) {
    size_t i = 0;
    while (i < n) {
        if (c->length % 8 == 0 && n - i >= 8) { /* whole words */
            c->h = cq__checksum_step(c->h, cq__u64(bytes + i));
            c->length += 8;
            i += 8;
        } else { /* one byte into the word that is being filled */
            c->word |= (uint64_t)bytes[i++] << c->length % 8 * 8;
            if (++c->length % 8 == 0) {
                c->h = cq__checksum_step(c->h, c->word);
                c->word = 0;
            }
        }
    }
}

CQUANT_DEF uint64_t cq_checksum_value(const cq_checksum *c) {
    uint64_t h = c->length % 8 ? cq__checksum_step(c->h, c->word) : c->h;
    return cq__checksum_step(h, c->length);
}

#define CQ__FILE_HEADER 192u
#define CQ__FILE_ENTRY 96u
#define CQ__FILE_SUM 32u      /* where the checksum of the head stands */
#define CQ__FILE_SECTIONS 64u /* where the sections are listed */
static const unsigned char cq__file_magic[8] = {'C', 'Q', 'U', 'A', 'N', 'T', '\r', '\n'};

static uint64_t cq__file_align(uint64_t a) { return (a + (CQ_ALIGN - 1)) & ~(uint64_t)(CQ_ALIGN - 1); }

static uint64_t cq__file_head_sum(const unsigned char *head, size_t head_bytes) {
    static const unsigned char zero[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    cq_checksum c;
    cq_checksum_start(&c);
    cq_checksum_add(&c, head, CQ__FILE_SUM);
    cq_checksum_add(&c, zero, 8);
    cq_checksum_add(&c, head + CQ__FILE_SUM + 8, head_bytes - CQ__FILE_SUM - 8);
    return cq_checksum_value(&c);
}

static cq_status cq__file_fail(const char *what, uint64_t where, uint64_t got, cq_error *err) {
    return cq_fail_at(err, CQ_ERR_FORMAT, what, NULL, 0, where,
                      got > (uint64_t)INT64_MAX ? INT64_MAX : (int64_t)got);
}

static cq_status cq__file_fail_entry(const cq_named *t, const char *what, uint64_t where, uint64_t got, cq_error *err) {
    return cq_fail_at(err, CQ_ERR_FORMAT, what, t->name, t->name_len, where,
                      got > (uint64_t)INT64_MAX ? INT64_MAX : (int64_t)got);
}

/* Is [from, to) all zero? */
static cq_status cq__file_zeros(const unsigned char *data, size_t from, size_t to, cq_error *err) {
    for (; from < to; from++)
        if (data[from]) return cq__file_fail("cq file: this byte must be zero", from, data[from], err);
    return CQ_OK;
}

/* The header: everything but the entries of the table and the sections. */
static cq_status cq__file_read_header(cq_file *f, const unsigned char *data, size_t size, cq_error *err) {
    uint64_t head, bytes, count, names, sum;
    if ((uintptr_t)data % 4) return cq_fail(err, CQ_ERR_ARG, "cq file: must lie at a multiple of 4 in memory");
    if (size < CQ__FILE_HEADER || !cq__equal(data, cq__file_magic, 8))
        return cq__file_fail("cq file: does not begin with \"CQUANT\\r\\n\" and a header of 192 bytes", 0, size, err);
    if (cq__u32(data + 8) != CQ_FILE_VERSION)
        return cq_fail_at(err, CQ_ERR_UNSUPPORTED, "cq file: this library reads version 1, the file has version", NULL,
                          0, 8, (int64_t)cq__u32(data + 8));
    count = cq__u32(data + 12);
    head = cq__u64(data + 16);
    bytes = cq__u64(data + 24);
    if (bytes > size || bytes % CQ_ALIGN)
        return cq__file_fail("cq file: cut off: it should have this many bytes, a multiple of 64", 24, bytes, err);
    if (head < CQ__FILE_HEADER || head > bytes || head % CQ_ALIGN)
        return cq__file_fail("cq file: the head must end within the file, at a multiple of 64", 16, head, err);
    sum = cq__file_head_sum(data, (size_t)head);
    if (sum != cq__u64(data + CQ__FILE_SUM))
        return cq_fail_at(err, CQ_ERR_FORMAT, "cq file: damaged: the checksum of the head is wrong", NULL, 0,
                          CQ__FILE_SUM, INT64_MIN);
    /* From here on errors are those of the program that wrote the file, or of an enemy. */
    names = cq__u64(data + 56);
    if (count > (head - CQ__FILE_HEADER) / CQ__FILE_ENTRY)
        return cq__file_fail("cq file: more tensors than the head has room for", 12, count, err);
    if (cq__u64(data + 48) != CQ__FILE_HEADER + count * CQ__FILE_ENTRY)
        return cq__file_fail("cq file: the names must follow the table", 48, cq__u64(data + 48), err);
    if (names > head - cq__u64(data + 48) || cq__file_align(cq__u64(data + 48) + names) != head)
        return cq__file_fail("cq file: the names must end the head", 56, names, err);
    f->data = data;
    f->size = (size_t)bytes;
    f->head_bytes = (size_t)head;
    f->data_sum = cq__u64(data + 40);
    f->weights.count = (size_t)count;
    if (cq__file_zeros(data, 128, CQ__FILE_HEADER, err)) return CQ_ERR_FORMAT;
    return cq__file_zeros(data, (size_t)(cq__u64(data + 48) + names), (size_t)head, err);
}

/* Section i must begin at *at, which moves behind it. */
static cq_status cq__file_read_section(cq_file *f, unsigned i, uint64_t *at, cq_error *err) {
    uint64_t where = CQ__FILE_SECTIONS + 16u * i, begin = cq__u64(f->data + where), n = cq__u64(f->data + where + 8);
    if (begin != *at)
        return cq__file_fail("cq file: this section does not follow the part before it", where, begin, err);
    if (n > f->size - begin) return cq__file_fail("cq file: this section ends behind the file", where + 8, n, err);
    f->section[i].data = f->data + begin;
    f->section[i].size = (size_t)n;
    *at = cq__file_align(begin + n);
    return CQ_OK;
}

/* Entry i of the table into *t. *names: where the name must begin, moves behind it. */
static cq_status cq__file_read_entry(const cq_file *f, size_t i, uint64_t data_begin, uint64_t *names, cq_named *t,
                                     cq_error *err) {
    size_t where = CQ__FILE_HEADER + CQ__FILE_ENTRY * i, k;
    const unsigned char *e = f->data + where;
    uint64_t names_end = cq__u64(f->data + 48) + cq__u64(f->data + 56), rows, cols, begin;
    cq_status status;
    t->name_len = cq__u32(e + 8);
    if (cq__u64(e) != *names || t->name_len < 1 || t->name_len > CQ_NAME_MAX || t->name_len > names_end - *names)
        return cq__file_fail("cq file: a name is not where it should be, or not 1 to 1024 bytes long", where,
                             t->name_len, err);
    t->name = (const char *)f->data + *names;
    *names += t->name_len;
    for (k = 0; k < t->name_len; k++)
        if (!t->name[k]) return cq__file_fail("cq file: a name has a zero byte", *names - t->name_len + k, 0, err);
    if (e[12] >= CQ_FORMAT_COUNT) return cq__file_fail_entry(t, "cq file: unknown format", where + 12, e[12], err);
    if (e[13] > CQ_PANELS) return cq__file_fail_entry(t, "cq file: unknown layout", where + 13, e[13], err);
    if (e[14] > 1) return cq__file_fail_entry(t, "cq file: asymmetric must be 0 or 1", where + 14, e[14], err);
    if (e[15] > 4) return cq__file_fail_entry(t, "cq file: more than 4 dimensions", where + 15, e[15], err);
    if (cq__u32(e + 20) || cq__u64(e + 88))
        return cq__file_fail_entry(t, "cq file: reserved bytes must be zero", where + 20, cq__u32(e + 20), err);
    cq__shape_start(t, &rows, &cols);
    for (k = 0; k < 4; k++) {
        uint64_t dim = cq__u64(e + 40 + 8 * k);
        if (k < e[15] ? !cq__shape_push(t, &rows, &cols, dim) : dim != 0)
            return cq__file_fail_entry(t, "cq file: shape too large, or an unused dimension that is not 0",
                                       where + 40 + 8 * k, dim, err);
    }
    if (cq__u64(e + 24) != rows || rows > SIZE_MAX)
        return cq__file_fail_entry(t, "cq file: rows are not the product of all dimensions but the last", where + 24,
                                   cq__u64(e + 24), err);
    if (cq__u64(e + 32) != cols || cols > SIZE_MAX)
        return cq__file_fail_entry(t, "cq file: cols are not the last dimension", where + 32, cq__u64(e + 32), err);
    status = cq_tensor_init(&t->t, (cq_format)e[12], (cq_layout)e[13], (size_t)rows, (size_t)cols, cq__u32(e + 16),
                            e[14] == 1, err);
    if (status) { /* say where; what it is has been said */
        if (err) cq_fail_at(err, status, err->what, t->name, t->name_len, where, err->got);
        return status;
    }
    if (t->t.group_size != cq__u32(e + 16))
        return cq__file_fail_entry(t, "cq file: group_size is not the one in use: a multiple of 32, at most the row",
                                   where + 16, cq__u32(e + 16), err);
    if (t->t.bytes != cq__u64(e + 80))
        return cq__file_fail_entry(t, "cq file: bytes are not what format and shape need", where + 80,
                                   cq__u64(e + 80), err);
    begin = cq__u64(e + 72);
    if (begin % CQ_ALIGN || begin < data_begin || begin > f->size || t->t.bytes > f->size - begin)
        return cq__file_fail_entry(t, "cq file: the data must lie within the file, at a multiple of 64", where + 72,
                                   begin, err);
    t->data = t->t.data = f->data + begin;
    t->bytes = t->t.bytes;
    t->dtype = (uint8_t)(e[13] == CQ_ROWS ? e[12] : (unsigned)CQ_DTYPE_PACKED); /* rows: only float formats */
    t->file = 0;
    return CQ_OK;
}

/* The tensors, by place, must follow each other from *at on, which moves behind the last. */
static cq_status cq__file_places(const cq_file *f, const cq_named *list, uint32_t *order, uint64_t *at, cq_error *err) {
    size_t i;
    for (i = 0; i < f->weights.count; i++) order[i] = (uint32_t)i;
    cq__sort_u32(order, f->weights.count, cq__named_by_place, list);
    for (i = 0; i < f->weights.count; i++) {
        const cq_named *t = &list[order[i]];
        uint64_t begin = (uint64_t)(t->data - f->data);
        if (begin != *at)
            return cq_fail_at(err, CQ_ERR_FORMAT,
                              begin < *at ? "cq file: this tensor overlaps the part before it (byte)"
                                          : "cq file: there is a gap before this tensor (byte)",
                              t->name, t->name_len, begin, INT64_MIN);
        *at = cq__file_align(begin + t->bytes);
    }
    return CQ_OK;
}

CQUANT_DEF cq_status cq_file_open(cq_file *f, const unsigned char *data, size_t size, cq_arena *arena, cq_error *err) {
    cq_named *list, entry;
    const char *name = NULL; /* of the entry before */
    size_t name_len = 0, i;
    uint32_t *order;
    uint64_t at, names;
    cq_status status;
    cq__fill(f, 0, sizeof *f);
    if ((status = cq__file_read_header(f, data, size, err)) != CQ_OK) return status;
    list = (cq_named *)cq_alloc(arena, f->weights.count, sizeof *list);
    order = (uint32_t *)cq_alloc(arena, f->weights.count, sizeof *order);
    if (arena->failed)
        return cq_fail_at(err, CQ_ERR_MEMORY, "cq file: the arena is too small for this many tensors", NULL, 0,
                          UINT64_MAX, (int64_t)f->weights.count);
    at = f->head_bytes;
    for (i = 0; i < CQ_SECTION_PROVENANCE; i++)
        if ((status = cq__file_read_section(f, (unsigned)i, &at, err)) != CQ_OK) return status;
    names = cq__u64(data + 48);
    for (i = 0; i < f->weights.count; i++) {
        if ((status = cq__file_read_entry(f, i, at, &names, &entry, err)) != CQ_OK) return status;
        if (i > 0 && cq__compare_names(name, name_len, entry.name, entry.name_len) >= 0)
            return cq_fail_at(err, CQ_ERR_FORMAT, "cq file: the names must be sorted, none there twice (entry)",
                              entry.name, entry.name_len, i, INT64_MIN);
        name = entry.name;
        name_len = entry.name_len;
        if (arena->base) cq__copy(&list[i], &entry, sizeof entry);
    }
    if (names != cq__u64(data + 48) + cq__u64(data + 56))
        return cq__file_fail("cq file: bytes that belong to no name follow the names", names, 0, err);
    if (!arena->base) return CQ_OK;
    if ((status = cq__file_places(f, list, order, &at, err)) != CQ_OK ||
        (status = cq__file_read_section(f, CQ_SECTION_PROVENANCE, &at, err)) != CQ_OK)
        return status;
    if (at != f->size) return cq__file_fail("cq file: does not end behind its last section", 24, f->size, err);
    f->weights.list = list;
    return CQ_OK;
}

CQUANT_DEF cq_status cq_file_check(const cq_file *f, cq_error *err) {
    cq_checksum c;
    size_t i;
    cq_checksum_start(&c);
    cq_checksum_add(&c, f->data + f->head_bytes, f->size - f->head_bytes);
    if (cq_checksum_value(&c) != f->data_sum)
        return cq_fail(err, CQ_ERR_FORMAT, "cq file: damaged: the checksum of the data is wrong");
    for (i = 0; i < f->weights.count + CQ_SECTION_COUNT; i++) { /* behind each part */
        const cq_named *t = i < CQ_SECTION_COUNT ? NULL : &f->weights.list[i - CQ_SECTION_COUNT];
        const unsigned char *part = t ? t->data : f->section[i].data;
        size_t end = (size_t)(part - f->data) + (t ? (size_t)t->bytes : f->section[i].size);
        if (cq__file_zeros(f->data, end, (size_t)cq__file_align(end), err)) return CQ_ERR_FORMAT;
    }
    return CQ_OK;
}

/* Moves *at behind a part of n bytes, and its padding; false when offsets would overflow. */
static bool cq__file_advance(uint64_t *at, uint64_t n) {
    if (n > (uint64_t)INT64_MAX - *at - CQ_ALIGN) return false;
    *at = cq__file_align(*at + n);
    return true;
}

CQUANT_DEF cq_status cq_file_plan(cq_file_layout *l, const cq_named *list, size_t count, const uint64_t *section_bytes,
                                  cq_arena *arena, cq_error *err) {
    uint64_t *offset, at = CQ__FILE_HEADER, rows, cols;
    uint32_t *sorted;
    size_t i, d;
    cq__fill(l, 0, sizeof *l);
    if (count > UINT32_MAX) return cq_fail(err, CQ_ERR_RANGE, "cq file: too many tensors");
    offset = (uint64_t *)cq_alloc(arena, count, sizeof *offset);
    sorted = (uint32_t *)cq_alloc(arena, count, sizeof *sorted);
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "cq file: the arena is too small for the plan");
    l->list = list;
    l->count = count;
    for (i = 0; i < count; i++) {
        cq_named shape;
        bool ok = cq__named_ok(&list[i]);
        cq__shape_start(&shape, &rows, &cols);
        for (d = 0; ok && d < list[i].ndim; d++) ok = cq__shape_push(&shape, &rows, &cols, list[i].shape[d]);
        if (!ok || rows != list[i].t.rows || cols != list[i].t.cols)
            return cq_fail_at(err, CQ_ERR_ARG,
                              "cq file: needs a name of 1 to 1024 bytes, and a shape of at most 4 dimensions that "
                              "gives rows and cols (entry)",
                              list[i].name, list[i].name_len, i, INT64_MIN);
        l->names_bytes += list[i].name_len;
    }
    at += (uint64_t)count * CQ__FILE_ENTRY;
    if (!cq__file_advance(&at, l->names_bytes) || at > SIZE_MAX)
        return cq_fail(err, CQ_ERR_RANGE, "cq file: the head is too large for this machine");
    l->head_bytes = at;
    for (i = 0; i < CQ_SECTION_COUNT; i++) {
        if (i == CQ_SECTION_PROVENANCE)
            for (d = 0; d < count; d++) {
                if (offset) offset[d] = at;
                if (!cq__file_advance(&at, list[d].t.bytes))
                    return cq_fail(err, CQ_ERR_RANGE, "cq file: larger than 2^63 bytes");
            }
        l->section_offset[i] = at;
        l->section_bytes[i] = section_bytes[i];
        if (!cq__file_advance(&at, section_bytes[i]))
            return cq_fail(err, CQ_ERR_RANGE, "cq file: larger than 2^63 bytes");
    }
    l->file_bytes = at;
    if (!arena->base) return CQ_OK;
    l->offset = offset;
    l->sorted = sorted;
    return cq__named_order(list, sorted, count, "cq file: this tensor is on the list twice", err);
}

CQUANT_DEF void cq_file_header(const cq_file_layout *l, uint64_t data_sum, unsigned char *out) {
    uint64_t names = CQ__FILE_HEADER + (uint64_t)l->count * CQ__FILE_ENTRY;
    unsigned char *name = out + names, *e = out + CQ__FILE_HEADER;
    size_t i, d;
    cq__fill(out, 0, (size_t)l->head_bytes);
    cq__copy(out, cq__file_magic, 8);
    cq__put32(out + 8, CQ_FILE_VERSION);
    cq__put32(out + 12, (uint32_t)l->count);
    cq__put64(out + 16, l->head_bytes);
    cq__put64(out + 24, l->file_bytes);
    cq__put64(out + 40, data_sum);
    cq__put64(out + 48, names);
    cq__put64(out + 56, l->names_bytes);
    for (i = 0; i < CQ_SECTION_COUNT; i++) {
        cq__put64(out + CQ__FILE_SECTIONS + 16 * i, l->section_offset[i]);
        cq__put64(out + CQ__FILE_SECTIONS + 16 * i + 8, l->section_bytes[i]);
    }
    for (i = 0; i < l->count; i++, e += CQ__FILE_ENTRY) {
        const cq_named *n = &l->list[l->sorted[i]];
        cq__put64(e, (uint64_t)(name - out));
        cq__put32(e + 8, (uint32_t)n->name_len);
        e[12] = (unsigned char)n->t.format;
        e[13] = (unsigned char)n->t.layout;
        e[14] = n->t.asym ? 1 : 0;
        e[15] = n->ndim;
        cq__put32(e + 16, n->t.group_size);
        cq__put64(e + 24, n->t.rows);
        cq__put64(e + 32, n->t.cols);
        for (d = 0; d < n->ndim; d++) cq__put64(e + 40 + 8 * d, n->shape[d]);
        cq__put64(e + 72, l->offset[l->sorted[i]]);
        cq__put64(e + 80, n->t.bytes);
        cq__copy(name, n->name, n->name_len);
        name += n->name_len;
    }
    cq__put64(out + CQ__FILE_SUM, cq__file_head_sum(out, (size_t)l->head_bytes));
}
/* ===================================================================================================================
   [LESSON 3 tokenizer]  from text to ids in five steps, each a function below

       text           "It's <|mask|> naïve"              any bytes
       1 UTF-8        what is not UTF-8 becomes U+FFFD                       cq__utf8_put
       2 added        "It's " | <|mask|> | " naïve"                          cq__tok_find_added
       3 NFC          i + U+0308 becomes ï                                   cq__nfc
       4 pieces       "It" | "'s" | " "        " naïve"                      cq__split
       5 BPE          " na" + "ï" + "ve": bytes, joined pair by pair         cq__bpe

   Source: tokenizers 0.23.3 (Rust) and its Qwen2, Llama-3 and GPT-2 files; tests/test_tokenizer.c holds its answers.
   ================================================================================================================== */
static int cq__tok_compare(const unsigned char *a, size_t na, const unsigned char *b, size_t nb) {
    size_t i;
    for (i = 0; i < na && i < nb; i++)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return na == nb ? 0 : na < nb ? -1 : 1; /* a prefix comes first */
}

/* -------------------------------------------------------------------------------------------------------------------
   1 UTF-8. A machine that takes one byte a call and writes only UTF-8. The second byte has a narrower range after E0,
   ED, F0 and F4 (no overlong forms, no surrogates, nothing above U+10FFFF): Unicode 16, table 3-7. A sequence broken
   off becomes one U+FFFD, and the byte that broke it is looked at afresh: "maximal subparts", as Python and Rust do.
   ------------------------------------------------------------------------------------------------------------------ */
typedef struct cq__utf8 {
    char *out;
    size_t size, used; /* bytes at out; bytes written, or that would have been */
    bool bad;          /* something was replaced */
    unsigned char part[4];
    unsigned have, need, lo, hi; /* bytes in part; bytes still missing; range of the next one */
} cq__utf8;

static void cq__utf8_start(cq__utf8 *u, char *out, size_t size) {
    u->out = out;
    u->size = size;
    u->used = 0;
    u->bad = false;
    u->have = u->need = u->lo = u->hi = 0;
}

static void cq__utf8_write(cq__utf8 *u, unsigned byte) {
    if (u->used < u->size) u->out[u->used] = (char)(unsigned char)byte;
    u->used++;
}

static void cq__utf8_replace(cq__utf8 *u) { /* U+FFFD */
    cq__utf8_write(u, 0xefu);
    cq__utf8_write(u, 0xbfu);
    cq__utf8_write(u, 0xbdu);
    u->bad = true;
    u->have = u->need = 0;
}

static void cq__utf8_put(cq__utf8 *u, unsigned byte) {
    unsigned i;
    if (u->need > 0 && (byte < u->lo || byte > u->hi)) cq__utf8_replace(u); /* broken off: now `byte` starts afresh */
    if (u->need > 0) {
        u->part[u->have++] = (unsigned char)byte;
        u->need--;
        u->lo = 0x80;
        u->hi = 0xbf;
    } else if (byte < 0x80) {
        u->part[0] = (unsigned char)byte;
        u->have = 1;
    } else if (byte < 0xc2 || byte > 0xf4) {
        cq__utf8_replace(u);
    } else {
        u->part[0] = (unsigned char)byte;
        u->have = 1;
        u->need = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
        u->lo = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
        u->hi = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    }
    if (u->need > 0) return;
    for (i = 0; i < u->have; i++) cq__utf8_write(u, u->part[i]);
    u->have = 0;
}

static void cq__utf8_end(cq__utf8 *u) {
    if (u->need > 0) cq__utf8_replace(u);
}

static void cq__utf8_copy(cq__utf8 *u, const unsigned char *s, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) cq__utf8_put(u, s[i]);
}

static bool cq__utf8_valid(const unsigned char *s, size_t n) {
    cq__utf8 u;
    cq__utf8_start(&u, NULL, 0);
    cq__utf8_copy(&u, s, n);
    cq__utf8_end(&u);
    return !u.bad;
}

/* The code point at s[*pos], and *pos behind it. The text has gone through the machine: it is valid. */
static uint32_t cq__utf8_next(const unsigned char *s, size_t *pos) {
    const unsigned char *p = s + *pos;
    if (p[0] < 0x80) return *pos += 1, (uint32_t)p[0];
    if (p[0] < 0xe0) return *pos += 2, (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    if (p[0] < 0xf0) return *pos += 3, (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    return *pos += 4, (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}

/* What the rules of step 4 ask of a character: \p{L}, \p{N}, \s or none of these. */
#define CQ__UNI_OTHER 0u
#define CQ__UNI_LETTER 1u
#define CQ__UNI_NUMBER 2u
#define CQ__UNI_BLANK 3u

static unsigned cq__uni_kind_ascii(uint32_t c) {
    if ((c | 0x20) - 'a' < 26u) return CQ__UNI_LETTER;
    if (c - '0' < 10u) return CQ__UNI_NUMBER;
    return c == ' ' || c - 9u < 5u ? CQ__UNI_BLANK : CQ__UNI_OTHER; /* 9-13: tab, line feed, 0B, 0C, carriage return */
}

#ifdef CQUANT_ASCII_ONLY
static unsigned cq__uni_kind(uint32_t c) { return cq__uni_kind_ascii(c); }
#else
/* Made by tests/reference/unicode_tables.py with tokenizers 0.23.3: 23082 bytes. */
static const uint32_t cq__uni_runs[2159] = {
    0x0, 0x4b00, 0x7000, 0x10300, 0x10800, 0x18200, 0x1d000, 0x20900, 0x2d800, 0x30900, 0x3d800, 0x42b00, 0x43000,
    0x50300, 0x50800, 0x55100, 0x55800, 0x59200, 0x5a000, 0x5a900, 0x5b000, 0x5ca00, 0x5d100, 0x5d800, 0x5e200,
    0x5f800, 0x60100, 0x6b800, 0x6c100, 0x7b800, 0x7c100, 0x161000, 0x163100, 0x169000, 0x170100, 0x172800, 0x176100,
    0x176800, 0x177100, 0x177800, 0x1804e6, 0x1828e6, 0x1834e6, 0x1868e6, 0x187ce6, 0x1880e6, 0x188ce6, 0x1890e6,
    0x189ce6, 0x18a8e8, 0x18b0dc, 0x18d0e8, 0x18dcd8, 0x18e0dc, 0x1908ca, 0x191cdc, 0x193cca, 0x1948dc, 0x196cdc,
    0x1978dc, 0x1984dc, 0x1990dc, 0x19a001, 0x19c401, 0x19c8dc, 0x19e8e6, 0x1a0400, 0x1a14e6, 0x1a1c00, 0x1a2cf0,
    0x1a30e6, 0x1a38dc, 0x1a50e6, 0x1a68dc, 0x1a7800, 0x1a80e6, 0x1a98dc, 0x1ab8e6, 0x1ac0e8, 0x1ac8dc, 0x1ad8e6,
    0x1ae0e9, 0x1ae8ea, 0x1af8e9, 0x1b00ea, 0x1b10e9, 0x1b18e6, 0x1b8100, 0x1ba500, 0x1ba800, 0x1bb100, 0x1bc000,
    0x1bd100, 0x1bf400, 0x1bf900, 0x1c0000, 0x1c3100, 0x1c3c00, 0x1c4100, 0x1c5800, 0x1c6100, 0x1c6800, 0x1c7100,
    0x1d1000, 0x1d1900, 0x1fb000, 0x1fb900, 0x241000, 0x2418e6, 0x244000, 0x245100, 0x298000, 0x298900, 0x2ab800,
    0x2ac900, 0x2ad000, 0x2b0100, 0x2c4800, 0x2c88dc, 0x2c90e6, 0x2cb0dc, 0x2cb8e6, 0x2cd0de, 0x2cd8dc, 0x2ce0e6,
    0x2d10dc, 0x2d40e6, 0x2d50dc, 0x2d58e6, 0x2d68de, 0x2d70e4, 0x2d78e6, 0x2d800a, 0x2d880b, 0x2d900c, 0x2d980d,
    0x2da00e, 0x2da80f, 0x2db010, 0x2db811, 0x2dc012, 0x2dc813, 0x2dd814, 0x2de015, 0x2de816, 0x2df000, 0x2df817,
    0x2e0000, 0x2e0818, 0x2e1019, 0x2e1800, 0x2e20e6, 0x2e28dc, 0x2e3000, 0x2e3812, 0x2e4000, 0x2e8100, 0x2f5800,
    0x2f7900, 0x2f9800, 0x3080e6, 0x30c01e, 0x30c81f, 0x30d020, 0x30d800, 0x310100, 0x32581b, 0x32601c, 0x32681d,
    0x32701e, 0x32781f, 0x328020, 0x328821, 0x329022, 0x329ce6, 0x32acdc, 0x32b0dc, 0x32b8e6, 0x32e0dc, 0x32e8e6,
    0x32f8dc, 0x330200, 0x335000, 0x337100, 0x338023, 0x338900, 0x36a000, 0x36a900, 0x36b0e6, 0x36e800, 0x36f8e6,
    0x3718dc, 0x3720e6, 0x372900, 0x3738e6, 0x374800, 0x3750dc, 0x3758e6, 0x3768dc, 0x377100, 0x378200, 0x37d100,
    0x37e800, 0x37f900, 0x380000, 0x388100, 0x388824, 0x389100, 0x3980e6, 0x3988dc, 0x3990e6, 0x39a0dc, 0x39a8e6,
    0x39b8dc, 0x39d0e6, 0x39d8dc, 0x39e8e6, 0x39f0dc, 0x39f8e6, 0x3a10dc, 0x3a18e6, 0x3a20dc, 0x3a28e6, 0x3a30dc,
    0x3a38e6, 0x3a40dc, 0x3a48e6, 0x3a5800, 0x3a6900, 0x3d3000, 0x3d8900, 0x3d9000, 0x3e0200, 0x3e5100, 0x3f58e6,
    0x3f90dc, 0x3f98e6, 0x3fa100, 0x3fb000, 0x3fd100, 0x3fd800, 0x400100, 0x40b0e6, 0x40d100, 0x40d8e6, 0x412100,
    0x4128e6, 0x414100, 0x4148e6, 0x417000, 0x420100, 0x42c8dc, 0x42e000, 0x430100, 0x435800, 0x438100, 0x444000,
    0x444900, 0x447800, 0x450100, 0x465000, 0x46a0e6, 0x471000, 0x4718dc, 0x4720e6, 0x4730dc, 0x4738e6, 0x4748dc,
    0x4750e6, 0x4768dc, 0x47801b, 0x47881c, 0x47901d, 0x4798e6, 0x47b0dc, 0x47b8e6, 0x47c8dc, 0x47d8e6, 0x480000,
    0x482100, 0x49d000, 0x49e407, 0x49e900, 0x49f000, 0x4a6809, 0x4a7000, 0x4a8100, 0x4a88e6, 0x4a90dc, 0x4a98e6,
    0x4aa800, 0x4ac500, 0x4b0100, 0x4b1000, 0x4b3200, 0x4b8000, 0x4b8900, 0x4c0800, 0x4c2900, 0x4c6800, 0x4c7900,
    0x4c8800, 0x4c9900, 0x4d4800, 0x4d5100, 0x4d8800, 0x4d9100, 0x4d9800, 0x4db100, 0x4dd000, 0x4de007, 0x4de900,
    0x4df400, 0x4df800, 0x4e6809, 0x4e7100, 0x4e7800, 0x4ebc00, 0x4ec000, 0x4ee500, 0x4ef000, 0x4efd00, 0x4f0100,
    0x4f1000, 0x4f3200, 0x4f8100, 0x4f9000, 0x4fa200, 0x4fd000, 0x4fe100, 0x4fe800, 0x502900, 0x505800, 0x507900,
    0x508800, 0x509900, 0x514800, 0x515100, 0x518800, 0x519100, 0x519d00, 0x51a000, 0x51a900, 0x51b500, 0x51b800,
    0x51c100, 0x51d000, 0x51e007, 0x51e800, 0x526809, 0x527000, 0x52cd00, 0x52e100, 0x52e800, 0x52f500, 0x52f800,
    0x533200, 0x538000, 0x539100, 0x53a800, 0x542900, 0x547000, 0x547900, 0x549000, 0x549900, 0x554800, 0x555100,
    0x558800, 0x559100, 0x55a000, 0x55a900, 0x55d000, 0x55e007, 0x55e900, 0x55f000, 0x566809, 0x567000, 0x568100,
    0x568800, 0x570100, 0x571000, 0x573200, 0x578000, 0x57c900, 0x57d000, 0x582900, 0x586800, 0x587900, 0x588800,
    0x589900, 0x594800, 0x595100, 0x598800, 0x599100, 0x59a000, 0x59a900, 0x59d000, 0x59e007, 0x59e900, 0x59f400,
    0x59f800, 0x5a6809, 0x5a7000, 0x5ab400, 0x5ac000, 0x5ae500, 0x5af000, 0x5af900, 0x5b1000, 0x5b3200, 0x5b8000,
    0x5b8900, 0x5b9200, 0x5bc000, 0x5c1900, 0x5c2000, 0x5c2900, 0x5c5800, 0x5c7100, 0x5c8800, 0x5c9100, 0x5cb000,
    0x5cc900, 0x5cd800, 0x5ce100, 0x5ce800, 0x5cf100, 0x5d0000, 0x5d1900, 0x5d2800, 0x5d4100, 0x5d5800, 0x5d7100,
    0x5dd000, 0x5df400, 0x5df800, 0x5e6809, 0x5e7000, 0x5e8100, 0x5e8800, 0x5ebc00, 0x5ec000, 0x5f3200, 0x5f9800,
    0x602900, 0x606800, 0x607100, 0x608800, 0x609100, 0x614800, 0x615100, 0x61d000, 0x61e900, 0x61f000, 0x626809,
    0x627000, 0x62a854, 0x62b45b, 0x62b800, 0x62c100, 0x62d800, 0x62e900, 0x62f000, 0x630100, 0x631000, 0x633200,
    0x638000, 0x63c200, 0x63f800, 0x640100, 0x640800, 0x642900, 0x646800, 0x647100, 0x648800, 0x649100, 0x654800,
    0x655100, 0x65a000, 0x65a900, 0x65d000, 0x65e007, 0x65e900, 0x65f000, 0x661400, 0x661800, 0x666809, 0x667000,
    0x66ac00, 0x66b800, 0x66e900, 0x66f800, 0x670100, 0x671000, 0x673200, 0x678000, 0x678900, 0x679800, 0x682100,
    0x686800, 0x687100, 0x688800, 0x689100, 0x69d800, 0x69e900, 0x69f400, 0x69f800, 0x6a6809, 0x6a7100, 0x6a7800,
    0x6aa100, 0x6abc00, 0x6ac200, 0x6af900, 0x6b1000, 0x6b3200, 0x6bc800, 0x6bd100, 0x6c0000, 0x6c2900, 0x6cb800,
    0x6cd100, 0x6d9000, 0x6d9900, 0x6de000, 0x6de900, 0x6df000, 0x6e0100, 0x6e3800, 0x6e5409, 0x6e5800, 0x6e7c00,
    0x6e8000, 0x6efc00, 0x6f0000, 0x6f3200, 0x6f8000, 0x700900, 0x718800, 0x719100, 0x71a000, 0x71c067, 0x71d009,
    0x71d800, 0x720100, 0x723800, 0x72406b, 0x726000, 0x728200, 0x72d000, 0x740900, 0x741800, 0x742100, 0x742800,
    0x743100, 0x745800, 0x746100, 0x752000, 0x752900, 0x753000, 0x753900, 0x758800, 0x759100, 0x75a000, 0x75c076,
    0x75d000, 0x75e900, 0x75f000, 0x760100, 0x762800, 0x763100, 0x763800, 0x76407a, 0x766000, 0x768200, 0x76d000,
    0x76e100, 0x770000, 0x780100, 0x780800, 0x78c0dc, 0x78d000, 0x790200, 0x79a000, 0x79a8dc, 0x79b000, 0x79b8dc,
    0x79c000, 0x79c8d8, 0x79d000, 0x7a0100, 0x7a1d00, 0x7a2100, 0x7a4000, 0x7a4900, 0x7a6d00, 0x7a7100, 0x7a9500,
    0x7a9900, 0x7abd00, 0x7ac100, 0x7ae500, 0x7ae900, 0x7b4d00, 0x7b5100, 0x7b6800, 0x7b8881, 0x7b9082, 0x7b9c00,
    0x7ba084, 0x7bac00, 0x7bb800, 0x7bc400, 0x7bc800, 0x7bd082, 0x7bf000, 0x7c0082, 0x7c0c00, 0x7c10e6, 0x7c2009,
    0x7c2800, 0x7c30e6, 0x7c4100, 0x7c6800, 0x7c9c00, 0x7ca000, 0x7cec00, 0x7cf000, 0x7d1400, 0x7d1800, 0x7d3c00,
    0x7d4000, 0x7d6400, 0x7d6800, 0x7dcc00, 0x7dd000, 0x7e30dc, 0x7e3800, 0x800100, 0x815800, 0x817400, 0x817800,
    0x81b807, 0x81c000, 0x81c809, 0x81d800, 0x81f900, 0x820200, 0x825000, 0x828100, 0x82b000, 0x82d100, 0x82f000,
    0x830900, 0x831000, 0x832900, 0x833800, 0x837100, 0x838800, 0x83a900, 0x841000, 0x8468dc, 0x847100, 0x847800,
    0x848200, 0x84d000, 0x850100, 0x863000, 0x863900, 0x864000, 0x866900, 0x867000, 0x868100, 0x87d800, 0x87e100,
    0x8b0d00, 0x8bb100, 0x8d4500, 0x8e1900, 0x924800, 0x925100, 0x927000, 0x928100, 0x92b800, 0x92c100, 0x92c800,
    0x92d100, 0x92f000, 0x930100, 0x944800, 0x945100, 0x947000, 0x948100, 0x958800, 0x959100, 0x95b000, 0x95c100,
    0x95f800, 0x960100, 0x960800, 0x961100, 0x963000, 0x964100, 0x96b800, 0x96c100, 0x988800, 0x989100, 0x98b000,
    0x98c100, 0x9ad800, 0x9ae8e6, 0x9b0000, 0x9b4a00, 0x9be800, 0x9c0100, 0x9c8000, 0x9d0100, 0x9fb000, 0x9fc100,
    0x9ff000, 0xa00900, 0xb36800, 0xb37900, 0xb40300, 0xb40900, 0xb4d800, 0xb50100, 0xb75800, 0xb77200, 0xb78900,
    0xb7c800, 0xb80100, 0xb89000, 0xb8a009, 0xb8a800, 0xb8f900, 0xb99000, 0xb9a009, 0xb9a800, 0xba0100, 0xba9000,
    0xbb0100, 0xbb6800, 0xbb7100, 0xbb8800, 0xbc0100, 0xbda000, 0xbe9009, 0xbe9800, 0xbeb900, 0xbec000, 0xbee100,
    0xbee8e6, 0xbef000, 0xbf0200, 0xbf5000, 0xbf8200, 0xbfd000, 0xc08200, 0xc0d000, 0xc10100, 0xc3c800, 0xc40100,
    0xc42800, 0xc43900, 0xc548e4, 0xc55100, 0xc55800, 0xc58100, 0xc7b000, 0xc80100, 0xc8f800, 0xc9c8de, 0xc9d0e6,
    0xc9d8dc, 0xc9e000, 0xca3200, 0xca8100, 0xcb7000, 0xcb8100, 0xcba800, 0xcc0100, 0xcd6000, 0xcd8100, 0xce5000,
    0xce8200, 0xced800, 0xd00100, 0xd0b8e6, 0xd0c0dc, 0xd0c800, 0xd10100, 0xd2a800, 0xd30009, 0xd30800, 0xd3a8e6,
    0xd3e800, 0xd3f8dc, 0xd40200, 0xd45000, 0xd48200, 0xd4d000, 0xd53900, 0xd54000, 0xd580e6, 0xd5a8dc, 0xd5d8e6,
    0xd5e8dc, 0xd5f000, 0xd82900, 0xd9a007, 0xd9ac00, 0xd9b000, 0xda2009, 0xda2900, 0xda6800, 0xda8200, 0xdad000,
    0xdb58e6, 0xdb60dc, 0xdb68e6, 0xdba000, 0xdc1900, 0xdd0800, 0xdd5009, 0xdd6000, 0xdd7100, 0xdd8200, 0xddd100,
    0xdf3007, 0xdf3800, 0xdf9009, 0xdfa000, 0xe00100, 0xe12000, 0xe1b807, 0xe1c000, 0xe20200, 0xe25000, 0xe26900,
    0xe28200, 0xe2d100, 0xe3f000, 0xe40100, 0xe45800, 0xe48100, 0xe5d800, 0xe5e900, 0xe60000, 0xe680e6, 0xe69800,
    0xe6a001, 0xe6a8dc, 0xe6d0e6, 0xe6e0dc, 0xe700e6, 0xe70800, 0xe71001, 0xe74900, 0xe768dc, 0xe77100, 0xe7a0e6,
    0xe7a900, 0xe7b800, 0xe7c0e6, 0xe7d100, 0xe7d800, 0xe80100, 0xee00e6, 0xee10dc, 0xee18e6, 0xee50dc, 0xee58e6,
    0xee68ea, 0xee70d6, 0xee78dc, 0xee80ca, 0xee88e6, 0xefb000, 0xefd8e6, 0xefe0e9, 0xefe8dc, 0xeff0e6, 0xeff8dc,
    0xf00100, 0xf8b000, 0xf8c100, 0xf8f000, 0xf90100, 0xfa3000, 0xfa4100, 0xfa7000, 0xfa8100, 0xfac000, 0xfac900,
    0xfad000, 0xfad900, 0xfae000, 0xfae900, 0xfaf000, 0xfaf900, 0xfb8d00, 0xfb9100, 0xfb9d00, 0xfba100, 0xfbad00,
    0xfbb100, 0xfbbd00, 0xfbc100, 0xfbcd00, 0xfbd100, 0xfbdd00, 0xfbe100, 0xfbed00, 0xfbf000, 0xfc0100, 0xfda800,
    0xfdb100, 0xfddd00, 0xfde100, 0xfde800, 0xfdf500, 0xfdf800, 0xfe1100, 0xfe2800, 0xfe3100, 0xfe4d00, 0xfe5100,
    0xfe5d00, 0xfe6100, 0xfe6800, 0xfe8100, 0xfe9d00, 0xfea000, 0xfeb100, 0xfedd00, 0xfee000, 0xff0100, 0xff1d00,
    0xff2100, 0xff5d00, 0xff6100, 0xff6800, 0xff7400, 0xff8000, 0xff9100, 0xffa800, 0xffb100, 0xffcd00, 0xffd100,
    0xffdd00, 0xffe100, 0xffec00, 0xfff000, 0x1000700, 0x1001300, 0x1005800, 0x1014300, 0x1015000, 0x1017b00,
    0x1018000, 0x102fb00, 0x1030000, 0x1038200, 0x1038900, 0x1039000, 0x103a200, 0x103d000, 0x103f900, 0x1040200,
    0x1045000, 0x1048100, 0x104e800, 0x10680e6, 0x1069001, 0x106a0e6, 0x106c001, 0x106d8e6, 0x106e800, 0x10708e6,
    0x1071000, 0x1072801, 0x10738e6, 0x10740dc, 0x10748e6, 0x1075001, 0x10760dc, 0x10780e6, 0x1078800, 0x1081100,
    0x1081800, 0x1083900, 0x1084000, 0x1085100, 0x108a000, 0x108a900, 0x108b000, 0x108c900, 0x108f000, 0x1092100,
    0x1092800, 0x1093500, 0x1093800, 0x1094100, 0x1094800, 0x1095500, 0x1096100, 0x1097000, 0x1097900, 0x109d000,
    0x109e100, 0x10a0000, 0x10a2900, 0x10a5000, 0x10a7100, 0x10a7800, 0x10a8200, 0x10c1900, 0x10c2a00, 0x10c5000,
    0x1194c00, 0x1195800, 0x1230200, 0x124e000, 0x1275200, 0x1280000, 0x13bb200, 0x13ca000, 0x156e400, 0x156e800,
    0x1600100, 0x1672800, 0x1675900, 0x16778e6, 0x1679100, 0x167a000, 0x167ea00, 0x167f000, 0x1680100, 0x1693000,
    0x1693900, 0x1694000, 0x1696900, 0x1697000, 0x1698100, 0x16b4000, 0x16b7900, 0x16b8000, 0x16bf809, 0x16c0100,
    0x16cb800, 0x16d0100, 0x16d3800, 0x16d4100, 0x16d7800, 0x16d8100, 0x16db800, 0x16dc100, 0x16df800, 0x16e0100,
    0x16e3800, 0x16e4100, 0x16e7800, 0x16e8100, 0x16eb800, 0x16ec100, 0x16ef800, 0x16f00e6, 0x1700000, 0x1717900,
    0x1718000, 0x1800300, 0x1800800, 0x1802900, 0x1803a00, 0x1804000, 0x1810a00, 0x18150da, 0x18158e4, 0x18160e8,
    0x18168de, 0x18170e0, 0x1818000, 0x1818900, 0x181b000, 0x181c200, 0x181d900, 0x181e800, 0x1820900, 0x184b800,
    0x184cc08, 0x184d800, 0x184e900, 0x1850000, 0x1850900, 0x187d800, 0x187e100, 0x1880000, 0x1882900, 0x1898000,
    0x1898900, 0x18c7800, 0x18c9200, 0x18cb000, 0x18d0100, 0x18e0000, 0x18f8100, 0x1900000, 0x1910200, 0x1915000,
    0x1924200, 0x1928000, 0x1928a00, 0x1930000, 0x1940200, 0x1945000, 0x1958a00, 0x1960000, 0x1a00100, 0x26e0000,
    0x2700100, 0x5246800, 0x5268100, 0x527f000, 0x5280100, 0x5306800, 0x5308100, 0x5310200, 0x5315100, 0x5316000,
    0x5320100, 0x53378e6, 0x5338000, 0x533a0e6, 0x533f000, 0x533f900, 0x534f0e6, 0x5350100, 0x5373200, 0x53780e6,
    0x5379000, 0x538b900, 0x5390000, 0x5391100, 0x53c4800, 0x53c5900, 0x53e7000, 0x53e8100, 0x53e9000, 0x53e9900,
    0x53ea000, 0x53ea900, 0x53ee800, 0x53f9100, 0x5401000, 0x5401900, 0x5403009, 0x5403900, 0x5405800, 0x5406100,
    0x5411800, 0x5418200, 0x541b000, 0x5420100, 0x543a000, 0x5441100, 0x545a000, 0x5462009, 0x5462800, 0x5468200,
    0x546d000, 0x54700e6, 0x5479100, 0x547c000, 0x547d900, 0x547e000, 0x547e900, 0x547f800, 0x5480200, 0x5485100,
    0x5493000, 0x54958dc, 0x5497000, 0x5498100, 0x54a3800, 0x54a9809, 0x54aa000, 0x54b0100, 0x54be800, 0x54c2100,
    0x54d9807, 0x54da000, 0x54e0009, 0x54e0800, 0x54e7900, 0x54e8200, 0x54ed000, 0x54f0100, 0x54f2800, 0x54f3100,
    0x54f8200, 0x54fd100, 0x54ff800, 0x5500100, 0x5514800, 0x5520100, 0x5521800, 0x5522100, 0x5526000, 0x5528200,
    0x552d000, 0x5530100, 0x553b800, 0x553d100, 0x553d800, 0x553f100, 0x55580e6, 0x5558900, 0x55590e6, 0x555a0dc,
    0x555a900, 0x555b8e6, 0x555c900, 0x555f0e6, 0x5560100, 0x55608e6, 0x5561100, 0x5561800, 0x556d900, 0x556f000,
    0x5570100, 0x5575800, 0x5579100, 0x557a800, 0x557b009, 0x557b800, 0x5580900, 0x5583800, 0x5584900, 0x5587800,
    0x5588900, 0x558b800, 0x5590100, 0x5593800, 0x5594100, 0x5597800, 0x5598100, 0x55ad800, 0x55ae100, 0x55b5000,
    0x55b8100, 0x55f1800, 0x55f6809, 0x55f7000, 0x55f8200, 0x55fd000, 0x5600100, 0x6bd2000, 0x6bd8100, 0x6be3800,
    0x6be5900, 0x6bfe000, 0x7c80500, 0x7d07100, 0x7d08500, 0x7d08900, 0x7d09500, 0x7d09900, 0x7d0ad00, 0x7d0f900,
    0x7d10500, 0x7d10900, 0x7d11500, 0x7d11900, 0x7d12d00, 0x7d13900, 0x7d15500, 0x7d37000, 0x7d38500, 0x7d6d000,
    0x7d80100, 0x7d83800, 0x7d89900, 0x7d8c000, 0x7d8ed00, 0x7d8f01a, 0x7d8fd00, 0x7d90100, 0x7d94800, 0x7d95500,
    0x7d9b800, 0x7d9c500, 0x7d9e800, 0x7d9f500, 0x7d9f800, 0x7da0500, 0x7da1000, 0x7da1d00, 0x7da2800, 0x7da3500,
    0x7da7900, 0x7dd9000, 0x7de9900, 0x7e9f000, 0x7ea8100, 0x7ec8000, 0x7ec9100, 0x7ee4000, 0x7ef8100, 0x7efe000,
    0x7f100e6, 0x7f138dc, 0x7f170e6, 0x7f18000, 0x7f38100, 0x7f3a800, 0x7f3b100, 0x7f7e800, 0x7f88200, 0x7f8d000,
    0x7f90900, 0x7f9d800, 0x7fa0900, 0x7fad800, 0x7fb3100, 0x7fdf800, 0x7fe1100, 0x7fe4000, 0x7fe5100, 0x7fe8000,
    0x7fe9100, 0x7fec000, 0x7fed100, 0x7fee800, 0x8000100, 0x8006000, 0x8006900, 0x8013800, 0x8014100, 0x801d800,
    0x801e100, 0x801f000, 0x801f900, 0x8027000, 0x8028100, 0x802f000, 0x8040100, 0x807d800, 0x8083a00, 0x809a000,
    0x80a0200, 0x80bc800, 0x80c5200, 0x80c6000, 0x80fe8dc, 0x80ff000, 0x8140100, 0x814e800, 0x8150100, 0x8168800,
    0x81700dc, 0x8170a00, 0x817e000, 0x8180100, 0x8190200, 0x8192000, 0x8196900, 0x81a0a00, 0x81a1100, 0x81a5200,
    0x81a5800, 0x81a8100, 0x81bb0e6, 0x81bd800, 0x81c0100, 0x81cf000, 0x81d0100, 0x81e2000, 0x81e4100, 0x81e8000,
    0x81e8a00, 0x81eb000, 0x8200100, 0x824f000, 0x8250200, 0x8255000, 0x8258100, 0x826a000, 0x826c100, 0x827e000,
    0x8280100, 0x8294000, 0x8298100, 0x82b2000, 0x82b8100, 0x82bd800, 0x82be100, 0x82c5800, 0x82c6100, 0x82c9800,
    0x82ca100, 0x82cb000, 0x82cb900, 0x82d1000, 0x82d1900, 0x82d9000, 0x82d9900, 0x82dd000, 0x82dd900, 0x82de800,
    0x82e0100, 0x82fa000, 0x8300100, 0x839b800, 0x83a0100, 0x83ab000, 0x83b0100, 0x83b4000, 0x83c0100, 0x83c3000,
    0x83c3900, 0x83d8800, 0x83d9100, 0x83dd800, 0x8400100, 0x8403000, 0x8404100, 0x8404800, 0x8405100, 0x841b000,
    0x841b900, 0x841c800, 0x841e100, 0x841e800, 0x841f900, 0x842b000, 0x842c200, 0x8430100, 0x843b800, 0x843ca00,
    0x8440100, 0x844f800, 0x8453a00, 0x8458000, 0x8470100, 0x8479800, 0x847a100, 0x847b000, 0x847da00, 0x8480100,
    0x848b200, 0x848e000, 0x8490100, 0x849d000, 0x84c0100, 0x84dc000, 0x84de200, 0x84df100, 0x84e0200, 0x84e8000,
    0x84e9200, 0x8500100, 0x8500800, 0x85068dc, 0x8507000, 0x85078e6, 0x8508100, 0x850a000, 0x850a900, 0x850c000,
    0x850c900, 0x851b000, 0x851c0e6, 0x851c801, 0x851d0dc, 0x851d800, 0x851f809, 0x8520200, 0x8524800, 0x8530100,
    0x853ea00, 0x853f800, 0x8540100, 0x854ea00, 0x8550000, 0x8560100, 0x8564000, 0x8564900, 0x85728e6, 0x85730dc,
    0x8573800, 0x8575a00, 0x8578000, 0x8580100, 0x859b000, 0x85a0100, 0x85ab000, 0x85ac200, 0x85b0100, 0x85b9800,
    0x85bc200, 0x85c0100, 0x85c9000, 0x85d4a00, 0x85d8000, 0x8600100, 0x8624800, 0x8640100, 0x8659800, 0x8660100,
    0x8679800, 0x867d200, 0x8680100, 0x8692000, 0x8698200, 0x869d000, 0x86a0200, 0x86a5100, 0x86b3000, 0x86b7900,
    0x86c3000, 0x8730200, 0x873f800, 0x8740100, 0x8755000, 0x8758100, 0x8759000, 0x8761100, 0x8762800, 0x8780100,
    0x878ea00, 0x8793900, 0x8794000, 0x8798100, 0x87a3000, 0x87a8a00, 0x87aa800, 0x87b8100, 0x87c1000, 0x87d8100,
    0x87e2a00, 0x87e6000, 0x87f0100, 0x87fb800, 0x8801900, 0x881c000, 0x8823009, 0x8823800, 0x8829200, 0x8838000,
    0x8838900, 0x8839800, 0x883a900, 0x883b000, 0x883f809, 0x8840000, 0x8841900, 0x8858000, 0x885c809, 0x885d407,
    0x885d800, 0x8868100, 0x8874800, 0x8878200, 0x887d000, 0x88800e6, 0x8881900, 0x8893c00, 0x8894000, 0x8899809,
    0x889a800, 0x889b200, 0x88a0000, 0x88a2100, 0x88a2800, 0x88a3900, 0x88a4000, 0x88a8100, 0x88b9807, 0x88ba000,
    0x88bb100, 0x88bb800, 0x88c1900, 0x88d9800, 0x88e0009, 0x88e0900, 0x88e2800, 0x88e5007, 0x88e5800, 0x88e8200,
    0x88ed100, 0x88ed800, 0x88ee100, 0x88ee800, 0x88f0a00, 0x88fa800, 0x8900100, 0x8909000, 0x8909900, 0x8916000,
    0x891a809, 0x891b007, 0x891b800, 0x891f900, 0x8920800, 0x8940100, 0x8943800, 0x8944100, 0x8944800, 0x8945100,
    0x8947000, 0x8947900, 0x894f000, 0x894f900, 0x8954800, 0x8958100, 0x896f800, 0x8974807, 0x8975009, 0x8975800,
    0x8978200, 0x897d000, 0x8982900, 0x8986800, 0x8987900, 0x8988800, 0x8989900, 0x8994800, 0x8995100, 0x8998800,
    0x8999100, 0x899a000, 0x899a900, 0x899d000, 0x899e007, 0x899e900, 0x899f400, 0x899f800, 0x89a6809, 0x89a7000,
    0x89a8100, 0x89a8800, 0x89abc00, 0x89ac000, 0x89ae900, 0x89b1000, 0x89b30e6, 0x89b6800, 0x89b80e6, 0x89ba800,
    0x89c0100, 0x89c5000, 0x89c5900, 0x89c6000, 0x89c7100, 0x89c7800, 0x89c8100, 0x89db000, 0x89db900, 0x89dc000,
    0x89e8900, 0x89e9000, 0x89e9900, 0x89ea000, 0x8a00100, 0x8a1a800, 0x8a21009, 0x8a21800, 0x8a23007, 0x8a23900,
    0x8a25800, 0x8a28200, 0x8a2d000, 0x8a2f900, 0x8a31000, 0x8a40100, 0x8a58400, 0x8a58800, 0x8a5d400, 0x8a5d800,
    0x8a5ec00, 0x8a5f000, 0x8a61009, 0x8a61807, 0x8a62100, 0x8a63000, 0x8a63900, 0x8a64000, 0x8a68200, 0x8a6d000,
    0x8ac0100, 0x8ad7c00, 0x8ad8000, 0x8adf809, 0x8ae0007, 0x8ae0800, 0x8aec100, 0x8aee000, 0x8b00100, 0x8b18000,
    0x8b1f809, 0x8b20000, 0x8b22100, 0x8b22800, 0x8b28200, 0x8b2d000, 0x8b40100, 0x8b55800, 0x8b5b009, 0x8b5b807,
    0x8b5c100, 0x8b5c800, 0x8b60200, 0x8b65000, 0x8b68200, 0x8b72000, 0x8b80100, 0x8b8d800, 0x8b95809, 0x8b96000,
    0x8b98200, 0x8b9e000, 0x8ba0100, 0x8ba3800, 0x8c00100, 0x8c16000, 0x8c50100, 0x8c70200, 0x8c79800, 0x8c7f900,
    0x8c83800, 0x8c84900, 0x8c85000, 0x8c86100, 0x8c8a000, 0x8c8a900, 0x8c8b800, 0x8c8c100, 0x8c98000, 0x8c9f900,
    0x8ca0000, 0x8ca0900, 0x8ca1000, 0x8ca8200, 0x8cad000, 0x8cd0100, 0x8cd4000, 0x8cd5100, 0x8ce8800, 0x8cf0900,
    0x8cf1000, 0x8cf1900, 0x8cf2000, 0x8d00100, 0x8d00800, 0x8d05900, 0x8d19800, 0x8d1d100, 0x8d1d800, 0x8d28100,
    0x8d28800, 0x8d2e100, 0x8d45000, 0x8d4e900, 0x8d4f000, 0x8d58100, 0x8d7c800, 0x8de0100, 0x8df0800, 0x8df8200,
    0x8dfd000, 0x8e00100, 0x8e04800, 0x8e05100, 0x8e17800, 0x8e1f809, 0x8e20100, 0x8e20800, 0x8e28200, 0x8e36800,
    0x8e39100, 0x8e48000, 0x8e80100, 0x8e83800, 0x8e84100, 0x8e85000, 0x8e85900, 0x8e98800, 0x8ea3100, 0x8ea3800,
    0x8ea8200, 0x8ead000, 0x8eb0100, 0x8eb3000, 0x8eb3900, 0x8eb4800, 0x8eb5100, 0x8ec5000, 0x8ecc100, 0x8ecc800,
    0x8ed0200, 0x8ed5000, 0x8f70100, 0x8f79800, 0x8f81100, 0x8f81800, 0x8f82100, 0x8f88800, 0x8f89100, 0x8f9a000,
    0x8fa8200, 0x8fad000, 0x8fd8100, 0x8fd8800, 0x8fe0200, 0x8fea800, 0x9000100, 0x91cd000, 0x9200200, 0x9237800,
    0x9240100, 0x92a2000, 0x97c8100, 0x97f8800, 0x9800100, 0x9a18000, 0x9a20900, 0x9a23800, 0x9a30100, 0xa1fd800,
    0xa200100, 0xa323800, 0xb080100, 0xb08f000, 0xb098200, 0xb09d000, 0xb400100, 0xb51c800, 0xb520100, 0xb52f800,
    0xb530200, 0xb535000, 0xb538100, 0xb55f800, 0xb560200, 0xb565000, 0xb568100, 0xb577000, 0xb578001, 0xb57a800,
    0xb580100, 0xb5980e6, 0xb59b800, 0xb5a0100, 0xb5a2000, 0xb5a8200, 0xb5ad000, 0xb5ada00, 0xb5b1000, 0xb5b1900,
    0xb5bc000, 0xb5be900, 0xb5c8000, 0xb6a0100, 0xb6b6800, 0xb6b8200, 0xb6bd000, 0xb720100, 0xb740200, 0xb74b800,
    0xb780100, 0xb7a5800, 0xb7a8100, 0xb7a8800, 0xb7c9900, 0xb7d0000, 0xb7f0100, 0xb7f1000, 0xb7f1900, 0xb7f2000,
    0xb800100, 0xc3fc000, 0xc400100, 0xc66b000, 0xc67f900, 0xc684800, 0xd7f8100, 0xd7fa000, 0xd7fa900, 0xd7fe000,
    0xd7fe900, 0xd7ff800, 0xd800100, 0xd891800, 0xd899100, 0xd899800, 0xd8a8100, 0xd8a9800, 0xd8aa900, 0xd8ab000,
    0xd8b2100, 0xd8b4000, 0xd8b8100, 0xd97e000, 0xde00100, 0xde35800, 0xde38100, 0xde3e800, 0xde40100, 0xde44800,
    0xde48100, 0xde4d000, 0xde4f001, 0xde4f800, 0xe678200, 0xe67d000, 0xe8af400, 0xe8b28d8, 0xe8b3801, 0xe8b5000,
    0xe8b68e2, 0xe8b70d8, 0xe8b9800, 0xe8bd8dc, 0xe8c1800, 0xe8c28e6, 0xe8c50dc, 0xe8c6000, 0xe8d50e6, 0xe8d7000,
    0xe8ddc00, 0xe8e0800, 0xe9210e6, 0xe922800, 0xe960200, 0xe96a000, 0xe970200, 0xe97a000, 0xe9b0200, 0xe9bc800,
    0xea00100, 0xea2a800, 0xea2b100, 0xea4e800, 0xea4f100, 0xea50000, 0xea51100, 0xea51800, 0xea52900, 0xea53800,
    0xea54900, 0xea56800, 0xea57100, 0xea5d000, 0xea5d900, 0xea5e000, 0xea5e900, 0xea62000, 0xea62900, 0xea83000,
    0xea83900, 0xea85800, 0xea86900, 0xea8a800, 0xea8b100, 0xea8e800, 0xea8f100, 0xea9d000, 0xea9d900, 0xea9f800,
    0xeaa0100, 0xeaa2800, 0xeaa3100, 0xeaa3800, 0xeaa5100, 0xeaa8800, 0xeaa9100, 0xeb53000, 0xeb54100, 0xeb60800,
    0xeb61100, 0xeb6d800, 0xeb6e100, 0xeb7d800, 0xeb7e100, 0xeb8a800, 0xeb8b100, 0xeb9a800, 0xeb9b100, 0xeba7800,
    0xeba8100, 0xebb7800, 0xebb8100, 0xebc4800, 0xebc5100, 0xebd4800, 0xebd5100, 0xebe1800, 0xebe2100, 0xebe6000,
    0xebe7200, 0xec00000, 0xef80100, 0xef8f800, 0xef92900, 0xef95800, 0xf0000e6, 0xf003800, 0xf0040e6, 0xf00c800,
    0xf00d8e6, 0xf011000, 0xf0118e6, 0xf012800, 0xf0130e6, 0xf015800, 0xf018100, 0xf037000, 0xf080100, 0xf096800,
    0xf09b900, 0xf09f000, 0xf0a0200, 0xf0a5000, 0xf0a7100, 0xf0a7800, 0xf148100, 0xf157000, 0xf160100, 0xf176000,
    0xf178200, 0xf17d000, 0xf268100, 0xf276000, 0xf278200, 0xf27d000, 0xf2e8100, 0xf2f7000, 0xf2f8100, 0xf2f8a00,
    0xf2fd800, 0xf3f0100, 0xf3f3800, 0xf3f4100, 0xf3f6000, 0xf3f6900, 0xf3f7800, 0xf3f8100, 0xf3ff800, 0xf400100,
    0xf462800, 0xf463a00, 0xf4680dc, 0xf46b800, 0xf480100, 0xf4a20e6, 0xf4a5007, 0xf4a5900, 0xf4a6000, 0xf4a8200,
    0xf4ad000, 0xf638a00, 0xf656000, 0xf656a00, 0xf658000, 0xf658a00, 0xf65a800, 0xf680a00, 0xf697000, 0xf697a00,
    0xf69f000, 0xf700100, 0xf702000, 0xf702900, 0xf710000, 0xf710900, 0xf711800, 0xf712100, 0xf712800, 0xf713900,
    0xf714000, 0xf714900, 0xf719800, 0xf71a100, 0xf71c000, 0xf71c900, 0xf71d000, 0xf71d900, 0xf71e000, 0xf721100,
    0xf721800, 0xf723900, 0xf724000, 0xf724900, 0xf725000, 0xf725900, 0xf726000, 0xf726900, 0xf728000, 0xf728900,
    0xf729800, 0xf72a100, 0xf72a800, 0xf72b900, 0xf72c000, 0xf72c900, 0xf72d000, 0xf72d900, 0xf72e000, 0xf72e900,
    0xf72f000, 0xf72f900, 0xf730000, 0xf730900, 0xf731800, 0xf732100, 0xf732800, 0xf733900, 0xf735800, 0xf736100,
    0xf739800, 0xf73a100, 0xf73c000, 0xf73c900, 0xf73e800, 0xf73f100, 0xf73f800, 0xf740100, 0xf745000, 0xf745900,
    0xf74e000, 0xf750900, 0xf752000, 0xf752900, 0xf755000, 0xf755900, 0xf75e000, 0xf880200, 0xf886800, 0xfdf8200,
    0xfdfd000, 0x10000100, 0x15370000, 0x15380100, 0x15b9d000, 0x15ba0100, 0x15c0f000, 0x15c10100, 0x16751000,
    0x16758100, 0x175f0800, 0x175f8100, 0x1772f000, 0x17c00500, 0x17d0f000, 0x18000100, 0x189a5800, 0x189a8100,
    0x191d8000
};
static const uint64_t cq__nfc_pairs[1025] = {
    0x1e000ce0044dc, 0x1e800ce0044c0, 0x1f000ce0044de, 0x20800c0000180, 0x20800c0400182, 0x20800c0800184,
    0x20800c0c00186, 0x20800c1000200, 0x20800c1800204, 0x20800c1c0044c, 0x20800c2000188, 0x20800c2403d44,
    0x20800c280018a, 0x20800c300039a, 0x20800c3c00400, 0x20800c4400404, 0x20800c8c03d40, 0x20800c9403c00,
    0x20800ca000208, 0x21000c1c03c04, 0x21000c8c03c08, 0x21000cc403c0c, 0x21800c040020c, 0x21800c0800210,
    0x21800c1c00214, 0x21800c3000218, 0x21800c9c0018e, 0x22000c1c03c14, 0x22000c300021c, 0x22000c8c03c18,
    0x22000c9c03c20, 0x22000cb403c24, 0x22000cc403c1c, 0x22800c0000190, 0x22800c0400192, 0x22800c0800194,
    0x22800c0c03d78, 0x22800c1000224, 0x22800c1800228, 0x22800c1c0022c, 0x22800c2000196, 0x22800c2403d74,
    0x22800c3000234, 0x22800c3c00408, 0x22800c440040c, 0x22800c8c03d70, 0x22800c9c00450, 0x22800ca000230,
    0x22800cb403c30, 0x22800cc003c34, 0x23000c1c03c3c, 0x23800c04003e8, 0x23800c0800238, 0x23800c1003c40,
    0x23800c180023c, 0x23800c1c00240, 0x23800c30003cc, 0x23800c9c00244, 0x24000c0800248, 0x24000c1c03c44,
    0x24000c2003c4c, 0x24000c300043c, 0x24000c8c03c48, 0x24000c9c03c50, 0x24000cb803c54, 0x24800c0000198,
    0x24800c040019a, 0x24800c080019c, 0x24800c0c00250, 0x24800c1000254, 0x24800c1800258, 0x24800c1c00260,
    0x24800c200019e, 0x24800c2403d90, 0x24800c300039e, 0x24800c3c00410, 0x24800c4400414, 0x24800c8c03d94,
    0x24800ca00025c, 0x24800cc003c58, 0x25000c0800268, 0x25800c0403c60, 0x25800c30003d0, 0x25800c8c03c64,
    0x25800c9c0026c, 0x25800cc403c68, 0x26000c0400272, 0x26000c300027a, 0x26000c8c03c6c, 0x26000c9c00276,
    0x26000cb403c78, 0x26000cc403c74, 0x26800c0403c7c, 0x26800c1c03c80, 0x26800c8c03c84, 0x27000c00003f0,
    0x27000c0400286, 0x27000c0c001a2, 0x27000c1c03c88, 0x27000c300028e, 0x27000c8c03c8c, 0x27000c9c0028a,
    0x27000cb403c94, 0x27000cc403c90, 0x27800c00001a4, 0x27800c04001a6, 0x27800c08001a8, 0x27800c0c001aa,
    0x27800c1000298, 0x27800c180029c, 0x27800c1c0045c, 0x27800c20001ac, 0x27800c2403d9c, 0x27800c2c002a0,
    0x27800c30003a2, 0x27800c3c00418, 0x27800c440041c, 0x27800c6c00340, 0x27800c8c03d98, 0x27800ca0003d4,
    0x28000c0403ca8, 0x28000c1c03cac, 0x29000c04002a8, 0x29000c1c03cb0, 0x29000c30002b0, 0x29000c3c00420,
    0x29000c4400424, 0x29000c8c03cb4, 0x29000c9c002ac, 0x29000cc403cbc, 0x29800c04002b4, 0x29800c08002b8,
    0x29800c1c03cc0, 0x29800c30002c0, 0x29800c8c03cc4, 0x29800c9800430, 0x29800c9c002bc, 0x2a000c1c03cd4,
    0x2a000c30002c8, 0x2a000c8c03cd8, 0x2a000c9800434, 0x2a000c9c002c4, 0x2a000cb403ce0, 0x2a000cc403cdc,
    0x2a800c00001b2, 0x2a800c04001b4, 0x2a800c08001b6, 0x2a800c0c002d0, 0x2a800c10002d4, 0x2a800c18002d8,
    0x2a800c20001b8, 0x2a800c2403dcc, 0x2a800c28002dc, 0x2a800c2c002e0, 0x2a800c30003a6, 0x2a800c3c00428,
    0x2a800c440042c, 0x2a800c6c0035e, 0x2a800c8c03dc8, 0x2a800c9003ce4, 0x2a800ca0002e4, 0x2a800cb403cec,
    0x2a800cc003ce8, 0x2b000c0c03cf8, 0x2b000c8c03cfc, 0x2b800c0003d00, 0x2b800c0403d04, 0x2b800c08002e8,
    0x2b800c1c03d0c, 0x2b800c2003d08, 0x2b800c8c03d10, 0x2c000c1c03d14, 0x2c000c2003d18, 0x2c800c0003de4,
    0x2c800c04001ba, 0x2c800c08002ec, 0x2c800c0c03df0, 0x2c800c1000464, 0x2c800c1c03d1c, 0x2c800c20002f0,
    0x2c800c2403dec, 0x2c800c8c03de8, 0x2d000c04002f2, 0x2d000c0803d20, 0x2d000c1c002f6, 0x2d000c30002fa,
    0x2d000c8c03d24, 0x2d000cc403d28, 0x30800c00001c0, 0x30800c04001c2, 0x30800c08001c4, 0x30800c0c001c6,
    0x30800c1000202, 0x30800c1800206, 0x30800c1c0044e, 0x30800c20001c8, 0x30800c2403d46, 0x30800c28001ca,
    0x30800c300039c, 0x30800c3c00402, 0x30800c4400406, 0x30800c8c03d42, 0x30800c9403c02, 0x30800ca00020a,
    0x31000c1c03c06, 0x31000c8c03c0a, 0x31000cc403c0e, 0x31800c040020e, 0x31800c0800212, 0x31800c1c00216,
    0x31800c300021a, 0x31800c9c001ce, 0x32000c1c03c16, 0x32000c300021e, 0x32000c8c03c1a, 0x32000c9c03c22,
    0x32000cb403c26, 0x32000cc403c1e, 0x32800c00001d0, 0x32800c04001d2, 0x32800c08001d4, 0x32800c0c03d7a,
    0x32800c1000226, 0x32800c180022a, 0x32800c1c0022e, 0x32800c20001d6, 0x32800c2403d76, 0x32800c3000236,
    0x32800c3c0040a, 0x32800c440040e, 0x32800c8c03d72, 0x32800c9c00452, 0x32800ca000232, 0x32800cb403c32,
    0x32800cc003c36, 0x33000c1c03c3e, 0x33800c04003ea, 0x33800c080023a, 0x33800c1003c42, 0x33800c180023e,
    0x33800c1c00242, 0x33800c30003ce, 0x33800c9c00246, 0x34000c080024a, 0x34000c1c03c46, 0x34000c2003c4e,
    0x34000c300043e, 0x34000c8c03c4a, 0x34000c9c03c52, 0x34000cb803c56, 0x34000cc403d2c, 0x34800c00001d8,
    0x34800c04001da, 0x34800c08001dc, 0x34800c0c00252, 0x34800c1000256, 0x34800c180025a, 0x34800c20001de,
    0x34800c2403d92, 0x34800c30003a0, 0x34800c3c00412, 0x34800c4400416, 0x34800c8c03d96, 0x34800ca00025e,
    0x34800cc003c5a, 0x35000c080026a, 0x35000c30003e0, 0x35800c0403c62, 0x35800c30003d2, 0x35800c8c03c66,
    0x35800c9c0026e, 0x35800cc403c6a, 0x36000c0400274, 0x36000c300027c, 0x36000c8c03c6e, 0x36000c9c00278,
    0x36000cb403c7a, 0x36000cc403c76, 0x36800c0403c7e, 0x36800c1c03c82, 0x36800c8c03c86, 0x37000c00003f2,
    0x37000c0400288, 0x37000c0c001e2, 0x37000c1c03c8a, 0x37000c3000290, 0x37000c8c03c8e, 0x37000c9c0028c,
    0x37000cb403c96, 0x37000cc403c92, 0x37800c00001e4, 0x37800c04001e6, 0x37800c08001e8, 0x37800c0c001ea,
    0x37800c100029a, 0x37800c180029e, 0x37800c1c0045e, 0x37800c20001ec, 0x37800c2403d9e, 0x37800c2c002a2,
    0x37800c30003a4, 0x37800c3c0041a, 0x37800c440041e, 0x37800c6c00342, 0x37800c8c03d9a, 0x37800ca0003d6,
    0x38000c0403caa, 0x38000c1c03cae, 0x39000c04002aa, 0x39000c1c03cb2, 0x39000c30002b2, 0x39000c3c00422,
    0x39000c4400426, 0x39000c8c03cb6, 0x39000c9c002ae, 0x39000cc403cbe, 0x39800c04002b6, 0x39800c08002ba,
    0x39800c1c03cc2, 0x39800c30002c2, 0x39800c8c03cc6, 0x39800c9800432, 0x39800c9c002be, 0x3a000c1c03cd6,
    0x3a000c2003d2e, 0x3a000c30002ca, 0x3a000c8c03cda, 0x3a000c9800436, 0x3a000c9c002c6, 0x3a000cb403ce2,
    0x3a000cc403cde, 0x3a800c00001f2, 0x3a800c04001f4, 0x3a800c08001f6, 0x3a800c0c002d2, 0x3a800c10002d6,
    0x3a800c18002da, 0x3a800c20001f8, 0x3a800c2403dce, 0x3a800c28002de, 0x3a800c2c002e2, 0x3a800c30003a8,
    0x3a800c3c0042a, 0x3a800c440042e, 0x3a800c6c00360, 0x3a800c8c03dca, 0x3a800c9003ce6, 0x3a800ca0002e6,
    0x3a800cb403cee, 0x3a800cc003cea, 0x3b000c0c03cfa, 0x3b000c8c03cfe, 0x3b800c0003d02, 0x3b800c0403d06,
    0x3b800c08002ea, 0x3b800c1c03d0e, 0x3b800c2003d0a, 0x3b800c2803d30, 0x3b800c8c03d12, 0x3c000c1c03d16,
    0x3c000c2003d1a, 0x3c800c0003de6, 0x3c800c04001fa, 0x3c800c08002ee, 0x3c800c0c03df2, 0x3c800c1000466,
    0x3c800c1c03d1e, 0x3c800c20001fe, 0x3c800c2403dee, 0x3c800c2803d32, 0x3c800c8c03dea, 0x3d000c04002f4,
    0x3d000c0803d22, 0x3d000c1c002f8, 0x3d000c30002fc, 0x3d000c8c03d26, 0x3d000cc403d2a, 0x54000c0003fda,
    0x54000c040070a, 0x54000d0803f82, 0x61000c0003d4c, 0x61000c0403d48, 0x61000c0c03d54, 0x61000c2403d50,
    0x62000c10003bc, 0x62800c04003f4, 0x63000c04003f8, 0x63000c10003c4, 0x63800c0403c10, 0x65000c0003d80,
    0x65000c0403d7c, 0x65000c0c03d88, 0x65000c2403d84, 0x67800c0403c5c, 0x6a000c0003da4, 0x6a000c0403da0,
    0x6a000c0c03dac, 0x6a000c2403da8, 0x6a800c0403c98, 0x6a800c1000458, 0x6a800c2003c9c, 0x6b000c1000454,
    0x6c000c04003fc, 0x6e000c00003b6, 0x6e000c04003ae, 0x6e000c10003aa, 0x6e000c30003b2, 0x71000c0003d4e,
    0x71000c0403d4a, 0x71000c0c03d56, 0x71000c2403d52, 0x72000c10003be, 0x72800c04003f6, 0x73000c04003fa,
    0x73000c10003c6, 0x73800c0403c12, 0x75000c0003d82, 0x75000c0403d7e, 0x75000c0c03d8a, 0x75000c2403d86,
    0x77800c0403c5e, 0x7a000c0003da6, 0x7a000c0403da2, 0x7a000c0c03dae, 0x7a000c2403daa, 0x7a800c0403c9a,
    0x7a800c100045a, 0x7a800c2003c9e, 0x7b000c1000456, 0x7c000c04003fe, 0x7e000c00003b8, 0x7e000c04003b0,
    0x7e000c10003ac, 0x7e000c30003b4, 0x81000c0003d60, 0x81000c0403d5c, 0x81000c0c03d68, 0x81000c2403d64,
    0x81800c0003d62, 0x81800c0403d5e, 0x81800c0c03d6a, 0x81800c2403d66, 0x89000c0003c28, 0x89000c0403c2c,
    0x89800c0003c2a, 0x89800c0403c2e, 0xa6000c0003ca0, 0xa6000c0403ca4, 0xa6800c0003ca2, 0xa6800c0403ca6,
    0xad000c1c03cc8, 0xad800c1c03cca, 0xb0000c1c03ccc, 0xb0800c1c03cce, 0xb4000c0403cf0, 0xb4800c0403cf2,
    0xb5000c2003cf4, 0xb5800c2003cf6, 0xbf800c1c03d36, 0xd0000c0003db8, 0xd0000c0403db4, 0xd0000c0c03dc0,
    0xd0000c2403dbc, 0xd0000c8c03dc4, 0xd0800c0003dba, 0xd0800c0403db6, 0xd0800c0c03dc2, 0xd0800c2403dbe,
    0xd0800c8c03dc6, 0xd7800c0003dd4, 0xd7800c0403dd0, 0xd7800c0c03ddc, 0xd7800c2403dd8, 0xd7800c8c03de0,
    0xd8000c0003dd6, 0xd8000c0403dd2, 0xd8000c0c03dde, 0xd8000c2403dda, 0xd8000c8c03de2, 0xdb800c30003dc,
    0xf5000c10003d8, 0xf5800c10003da, 0x113000c10003c0, 0x113800c10003c2, 0x114000c1803c38, 0x114800c1803c3a,
    0x117000c1000460, 0x117800c1000462, 0x149000c30003de, 0x184000c0400689, 0x1c8800c0003f74, 0x1c8800c040070c,
    0x1c8800c1003f72, 0x1c8800c1803f70, 0x1c8800c4c03e10, 0x1c8800c5003e12, 0x1c8800d1403f78, 0x1ca800c0003f90,
    0x1ca800c0400710, 0x1ca800c4c03e30, 0x1ca800c5003e32, 0x1cb800c0003f94, 0x1cb800c0400712, 0x1cb800c4c03e50,
    0x1cb800c5003e52, 0x1cb800d1403f98, 0x1cc800c0003fb4, 0x1cc800c0400714, 0x1cc800c1003fb2, 0x1cc800c1803fb0,
    0x1cc800c2000754, 0x1cc800c4c03e70, 0x1cc800c5003e72, 0x1cf800c0003ff0, 0x1cf800c0400718, 0x1cf800c4c03e90,
    0x1cf800c5003e92, 0x1d0800c5003fd8, 0x1d2800c0003fd4, 0x1d2800c040071c, 0x1d2800c1003fd2, 0x1d2800c1803fd0,
    0x1d2800c2000756, 0x1d2800c5003eb2, 0x1d4800c0003ff4, 0x1d4800c040071e, 0x1d4800c4c03ed0, 0x1d4800c5003ed2,
    0x1d4800d1403ff8, 0x1d6000d1403f68, 0x1d7000d1403f88, 0x1d8800c0003ee0, 0x1d8800c0400758, 0x1d8800c1003f62,
    0x1d8800c1803f60, 0x1d8800c4c03e00, 0x1d8800c5003e02, 0x1d8800d0803f6c, 0x1d8800d1403f66, 0x1da800c0003ee4,
    0x1da800c040075a, 0x1da800c4c03e20, 0x1da800c5003e22, 0x1db800c0003ee8, 0x1db800c040075c, 0x1db800c4c03e40,
    0x1db800c5003e42, 0x1db800d0803f8c, 0x1db800d1403f86, 0x1dc800c0003eec, 0x1dc800c040075e, 0x1dc800c1003fa2,
    0x1dc800c1803fa0, 0x1dc800c2000794, 0x1dc800c4c03e60, 0x1dc800c5003e62, 0x1dc800d0803fac, 0x1df800c0003ef0,
    0x1df800c0400798, 0x1df800c4c03e80, 0x1df800c5003e82, 0x1e0800c4c03fc8, 0x1e0800c5003fca, 0x1e2800c0003ef4,
    0x1e2800c040079a, 0x1e2800c1003fc2, 0x1e2800c1803fc0, 0x1e2800c2000796, 0x1e2800c4c03ea0, 0x1e2800c5003ea2,
    0x1e2800d0803fcc, 0x1e4800c0003ef8, 0x1e4800c040079c, 0x1e4800c4c03ec0, 0x1e4800c5003ec2, 0x1e4800d0803fec,
    0x1e4800d1403fe6, 0x1e5000c0003fa4, 0x1e5000c0400720, 0x1e5000d0803fae, 0x1e5800c0003fc4, 0x1e5800c0400760,
    0x1e5800d0803fce, 0x1e7000d1403fe8, 0x1e9000c04007a6, 0x1e9000c20007a8, 0x203000c200080e, 0x208000c18009a0,
    0x208000c20009a4, 0x209800c0400806, 0x20a800c0000800, 0x20a800c18009ac, 0x20a800c2000802, 0x20b000c1800982,
    0x20b000c20009b8, 0x20b800c20009bc, 0x20c000c000081a, 0x20c000c10009c4, 0x20c000c1800832, 0x20c000c20009c8,
    0x20d000c0400818, 0x20f000c20009cc, 0x211800c10009dc, 0x211800c180081c, 0x211800c20009e0, 0x211800c2c009e4,
    0x213800c20009e8, 0x215800c20009f0, 0x216800c20009d8, 0x218000c18009a2, 0x218000c20009a6, 0x219800c04008a6,
    0x21a800c00008a0, 0x21a800c18009ae, 0x21a800c20008a2, 0x21b000c1800984, 0x21b000c20009ba, 0x21b800c20009be,
    0x21c000c00008ba, 0x21c000c10009c6, 0x21c000c1800872, 0x21c000c20009ca, 0x21d000c04008b8, 0x21f000c20009ce,
    0x221800c10009de, 0x221800c18008bc, 0x221800c20009e2, 0x221800c2c009e6, 0x223800c20009ea, 0x225800c20009f2,
    0x226800c20009da, 0x22b000c20008ae, 0x23a000c3c008ec, 0x23a800c3c008ee, 0x26c000c20009b4, 0x26c800c20009b6,
    0x274000c20009d4, 0x274800c20009d6, 0x2e80016dc1f65d, 0x2e80016e01f65f, 0x2e80016f01f661, 0x2e88016f01f663,
    0x2e88016fc1f699, 0x2e90016f01f665, 0x2e98016f01f667, 0x2ea0016f01f669, 0x2ea8016e41f697, 0x2ea8016f01f66b,
    0x2eb0016f01f66d, 0x2ec0016f01f671, 0x2ec8016d01f63b, 0x2ec8016f01f673, 0x2ed0016f01f675, 0x2ed8016f01f677,
    0x2ed8016fc1f69b, 0x2ee0016f01f679, 0x2ef0016f01f67d, 0x2f00016f01f681, 0x2f08016f01f683, 0x2f18016f01f687,
    0x2f20016f01f689, 0x2f20016fc1f69d, 0x2f30016f01f68d, 0x2f38016f01f68f, 0x2f40016f01f691, 0x2f48016f01f693,
    0x2f48017041f655, 0x2f48017081f657, 0x2f50016f01f695, 0x2f90016dc1f63f, 0x31380194c00c44, 0x31380195000c46,
    0x31380195400c4a, 0x32400195000c48, 0x32500195000c4c, 0x36080195000d84, 0x36900195000da6, 0x36a80195000d80,
    0x48a8024f0012b1, 0x48b0024f0012b3, 0x48b8024f0012b5, 0x48e0024f0012b7, 0x4908024f0012b9, 0x4910024f0012bb,
    0x4940024f001252, 0x4958024f0012bd, 0x4978024f0012bf, 0x4980024f001262, 0x4998024f001268, 0x4d08026f0013b9,
    0x4d10026f0013bb, 0x4d78026f0013bf, 0x4e38026f801396, 0x4e380275c01398, 0x50b0028f0014b3, 0x50b8028f0014b5,
    0x50e0028f0014b7, 0x5158028f0014bd, 0x5190028f001467, 0x51c0028f00146d, 0x590802cf0016b9, 0x591002cf0016bb,
    0x5a3802cf801696, 0x5a3802d5801690, 0x5a3802d5c01698, 0x5c9002f5c01728, 0x5e3002ef801794, 0x5e3002f5c01798,
    0x5e3802ef801796, 0x62300315801890, 0x65f80335401980, 0x66300330801994, 0x6630033540198e, 0x66300335801990,
    0x66500335401996, 0x6a30034f801a94, 0x6a300355c01a98, 0x6a38034f801a96, 0x6ec80372801bb4, 0x6ec80373c01bb8,
    0x6ec80377c01bbc, 0x6ee00372801bba, 0x7a0003ed401ed3, 0x7a1003edc01e87, 0x7a6003edc01e9b, 0x7a8803edc01ea5,
    0x7ab003edc01eaf, 0x7ad803edc01eb9, 0x7b8803dc801ee7, 0x7b8803dd001eeb, 0x7b8803e0001f03, 0x7c8003ed401f73,
    0x7c9003edc01f27, 0x7ce003edc01f3b, 0x7d0803edc01f45, 0x7d3003edc01f4f, 0x7d5803edc01f59, 0x7d9003e0001eed,
    0x7d9803e0001ef1, 0x8128040b80204c, 0xd82806cd40360c, 0xd83806cd403610, 0xd84806cd403614, 0xd85806cd403618,
    0xd86806cd40361c, 0xd88806cd403624, 0xd9d006cd403676, 0xd9e006cd40367a, 0xd9f006cd403680, 0xd9f806cd403682,
    0xda1006cd403686, 0xf1b000c1003c70, 0xf1b800c1003c72, 0xf2d000c1003cb8, 0xf2d800c1003cba, 0xf31000c1c03cd0,
    0xf31800c1c03cd2, 0xf50000c0803d58, 0xf50000c1803d6c, 0xf50800c0803d5a, 0xf50800c1803d6e, 0xf5c000c0803d8c,
    0xf5c800c0803d8e, 0xf66000c0803db0, 0xf66800c0803db2, 0xf80000c0003e04, 0xf80000c0403e08, 0xf80000d0803e0c,
    0xf80000d1403f00, 0xf80800c0003e06, 0xf80800c0403e0a, 0xf80800d0803e0e, 0xf80800d1403f02, 0xf81000d1403f04,
    0xf81800d1403f06, 0xf82000d1403f08, 0xf82800d1403f0a, 0xf83000d1403f0c, 0xf83800d1403f0e, 0xf84000c0003e14,
    0xf84000c0403e18, 0xf84000d0803e1c, 0xf84000d1403f10, 0xf84800c0003e16, 0xf84800c0403e1a, 0xf84800d0803e1e,
    0xf84800d1403f12, 0xf85000d1403f14, 0xf85800d1403f16, 0xf86000d1403f18, 0xf86800d1403f1a, 0xf87000d1403f1c,
    0xf87800d1403f1e, 0xf88000c0003e24, 0xf88000c0403e28, 0xf88800c0003e26, 0xf88800c0403e2a, 0xf8c000c0003e34,
    0xf8c000c0403e38, 0xf8c800c0003e36, 0xf8c800c0403e3a, 0xf90000c0003e44, 0xf90000c0403e48, 0xf90000d0803e4c,
    0xf90000d1403f20, 0xf90800c0003e46, 0xf90800c0403e4a, 0xf90800d0803e4e, 0xf90800d1403f22, 0xf91000d1403f24,
    0xf91800d1403f26, 0xf92000d1403f28, 0xf92800d1403f2a, 0xf93000d1403f2c, 0xf93800d1403f2e, 0xf94000c0003e54,
    0xf94000c0403e58, 0xf94000d0803e5c, 0xf94000d1403f30, 0xf94800c0003e56, 0xf94800c0403e5a, 0xf94800d0803e5e,
    0xf94800d1403f32, 0xf95000d1403f34, 0xf95800d1403f36, 0xf96000d1403f38, 0xf96800d1403f3a, 0xf97000d1403f3c,
    0xf97800d1403f3e, 0xf98000c0003e64, 0xf98000c0403e68, 0xf98000d0803e6c, 0xf98800c0003e66, 0xf98800c0403e6a,
    0xf98800d0803e6e, 0xf9c000c0003e74, 0xf9c000c0403e78, 0xf9c000d0803e7c, 0xf9c800c0003e76, 0xf9c800c0403e7a,
    0xf9c800d0803e7e, 0xfa0000c0003e84, 0xfa0000c0403e88, 0xfa0800c0003e86, 0xfa0800c0403e8a, 0xfa4000c0003e94,
    0xfa4000c0403e98, 0xfa4800c0003e96, 0xfa4800c0403e9a, 0xfa8000c0003ea4, 0xfa8000c0403ea8, 0xfa8000d0803eac,
    0xfa8800c0003ea6, 0xfa8800c0403eaa, 0xfa8800d0803eae, 0xfac800c0003eb6, 0xfac800c0403eba, 0xfac800d0803ebe,
    0xfb0000c0003ec4, 0xfb0000c0403ec8, 0xfb0000d0803ecc, 0xfb0000d1403f40, 0xfb0800c0003ec6, 0xfb0800c0403eca,
    0xfb0800d0803ece, 0xfb0800d1403f42, 0xfb1000d1403f44, 0xfb1800d1403f46, 0xfb2000d1403f48, 0xfb2800d1403f4a,
    0xfb3000d1403f4c, 0xfb3800d1403f4e, 0xfb4000c0003ed4, 0xfb4000c0403ed8, 0xfb4000d0803edc, 0xfb4000d1403f50,
    0xfb4800c0003ed6, 0xfb4800c0403eda, 0xfb4800d0803ede, 0xfb4800d1403f52, 0xfb5000d1403f54, 0xfb5800d1403f56,
    0xfb6000d1403f58, 0xfb6800d1403f5a, 0xfb7000d1403f5c, 0xfb7800d1403f5e, 0xfb8000d1403f64, 0xfba000d1403f84,
    0xfbe000d1403fe4, 0xfdb000d1403f6e, 0xfdf800c0003f9a, 0xfdf800c0403f9c, 0xfdf800d0803f9e, 0xfe3000d1403f8e,
    0xffb000d1403fee, 0xfff000c0003fba, 0xfff000c0403fbc, 0xfff000d0803fbe, 0x10c8000ce004334, 0x10c9000ce004336,
    0x10ca000ce00435c, 0x10e8000ce00439a, 0x10e9000ce00439e, 0x10ea000ce00439c, 0x1101800ce004408, 0x1104000ce004412,
    0x1105800ce004418, 0x1111800ce004448, 0x1112800ce00444c, 0x111e000ce004482, 0x1121800ce004488, 0x1122800ce00448e,
    0x1124000ce004492, 0x1126800ce0044da, 0x1130800ce0044c4, 0x1132000ce0044e0, 0x1132800ce0044e2, 0x1139000ce0044e8,
    0x1139800ce0044ea, 0x113b000ce0044f0, 0x113b800ce0044f2, 0x113d000ce004500, 0x113d800ce004502, 0x113e000ce0045c0,
    0x113e800ce0045c2, 0x1141000ce004508, 0x1141800ce00450a, 0x1143000ce004510, 0x1143800ce004512, 0x1148800ce0045c4,
    0x1149000ce0045c6, 0x1151000ce004558, 0x1154000ce00455a, 0x1154800ce00455c, 0x1155800ce00455e, 0x1159000ce0045d4,
    0x1159800ce0045d6, 0x115a000ce0045d8, 0x115a800ce0045da, 0x156e800ce0055b9, 0x182300c26406128, 0x182580c26406098,
    0x182680c2640609c, 0x182780c264060a0, 0x182880c264060a4, 0x182980c264060a8, 0x182a80c264060ac, 0x182b80c264060b0,
    0x182c80c264060b4, 0x182d80c264060b8, 0x182e80c264060bc, 0x182f80c264060c0, 0x183080c264060c4, 0x183200c264060ca,
    0x183300c264060ce, 0x183400c264060d2, 0x183780c264060e0, 0x183780c268060e2, 0x183900c264060e6, 0x183900c268060e8,
    0x183a80c264060ec, 0x183a80c268060ee, 0x183c00c264060f2, 0x183c00c268060f4, 0x183d80c264060f8, 0x183d80c268060fa,
    0x184e80c2640613c, 0x185300c264061e8, 0x185580c26406158, 0x185680c2640615c, 0x185780c26406160, 0x185880c26406164,
    0x185980c26406168, 0x185a80c2640616c, 0x185b80c26406170, 0x185c80c26406174, 0x185d80c26406178, 0x185e80c2640617c,
    0x185f80c26406180, 0x186080c26406184, 0x186200c2640618a, 0x186300c2640618e, 0x186400c26406192, 0x186780c264061a0,
    0x186780c268061a2, 0x186900c264061a6, 0x186900c268061a8, 0x186a80c264061ac, 0x186a80c268061ae, 0x186c00c264061b2,
    0x186c00c268061b4, 0x186d80c264061b8, 0x186d80c268061ba, 0x187780c264061ee, 0x187800c264061f0, 0x187880c264061f2,
    0x187900c264061f4, 0x187e80c264061fc, 0x7da48017041f659, 0x7da48017081f65b, 0x884c8442e822134, 0x884d8442e822138,
    0x88528442e822156, 0x889884449c2225c, 0x889904449c2225e, 0x89a3844cf822696, 0x89a3844d5c22698, 0x8a5c8452c022978,
    0x8a5c8452e822976, 0x8a5c8452f42297c, 0x8adc0456bc22b74, 0x8adc8456bc22b76, 0xe8ab8745943a2bd, 0xe8ac0745943a2bf,
    0xe8af8745b83a2c1, 0xe8af8745bc3a2c3, 0xe8af8745c03a2c5, 0xe8af8745c43a2c7, 0xe8af8745c83a2c9, 0xe8dc8745943a377,
    0xe8dd0745943a379, 0xe8dd8745b83a37b, 0xe8dd8745bc3a37f, 0xe8de0745b83a37d, 0xe8de0745bc3a381
};
static const uint16_t cq__nfc_order[1025] = {
    3, 4, 5, 6, 10, 12, 26, 33, 34, 35, 40, 65, 66, 67, 72, 97, 104, 105, 106, 107, 111, 144, 145, 146, 150, 174, 188,
    189, 190, 191, 195, 197, 211, 218, 219, 220, 225, 251, 252, 253, 257, 283, 290, 291, 292, 293, 297, 331, 332, 333,
    337, 362, 367, 7, 192, 8, 193, 18, 203, 22, 207, 23, 208, 24, 209, 25, 210, 28, 213, 37, 222, 38, 223, 39, 224, 47,
    232, 42, 227, 52, 237, 54, 239, 55, 240, 57, 242, 58, 243, 68, 254, 69, 255, 70, 256, 78, 263, 71, 80, 265, 84,
    270, 86, 272, 89, 275, 87, 273, 96, 282, 101, 287, 99, 285, 108, 294, 109, 295, 113, 299, 122, 308, 128, 314, 124,
    310, 130, 316, 131, 317, 136, 322, 133, 319, 141, 328, 138, 325, 147, 334, 148, 335, 149, 336, 152, 339, 153, 340,
    160, 347, 167, 354, 175, 363, 179, 182, 371, 184, 373, 185, 374, 117, 303, 157, 344, 13, 198, 74, 259, 114, 300,
    154, 341, 405, 432, 404, 431, 406, 433, 403, 430, 384, 411, 482, 483, 387, 414, 56, 241, 82, 268, 119, 305, 480,
    481, 479, 488, 266, 51, 236, 95, 281, 385, 412, 386, 413, 402, 429, 14, 199, 15, 200, 43, 228, 44, 229, 75, 260,
    76, 261, 115, 301, 116, 302, 125, 311, 126, 312, 155, 342, 156, 343, 135, 321, 140, 327, 61, 246, 9, 194, 46, 231,
    401, 428, 399, 426, 110, 296, 486, 487, 177, 365, 489, 378, 491, 498, 502, 507, 514, 519, 525, 578, 510, 522, 532,
    540, 544, 550, 581, 553, 567, 558, 564, 572, 584, 585, 590, 592, 589, 586, 600, 596, 603, 598, 620, 612, 614, 611,
    631, 622, 618, 625, 632, 633, 593, 615, 587, 609, 588, 610, 591, 613, 634, 635, 594, 616, 595, 617, 597, 619, 599,
    621, 601, 623, 636, 637, 608, 630, 602, 624, 604, 626, 605, 627, 606, 628, 607, 629, 670, 671, 673, 672, 674, 677,
    675, 676, 684, 687, 688, 678, 679, 680, 681, 682, 683, 685, 686, 692, 693, 689, 690, 691, 698, 699, 694, 695, 696,
    697, 703, 702, 704, 700, 701, 705, 706, 708, 707, 709, 710, 712, 713, 711, 714, 715, 717, 716, 718, 719, 721, 720,
    723, 724, 725, 726, 727, 722, 728, 729, 737, 738, 730, 732, 733, 734, 735, 736, 731, 739, 740, 741, 742, 743, 744,
    745, 746, 747, 748, 749, 750, 17, 202, 19, 204, 20, 205, 21, 206, 388, 415, 27, 212, 29, 214, 32, 217, 30, 215, 31,
    216, 442, 444, 443, 445, 48, 233, 49, 234, 484, 485, 50, 235, 53, 238, 59, 244, 62, 247, 60, 245, 63, 248, 64, 249,
    79, 264, 393, 420, 81, 267, 83, 269, 85, 271, 88, 274, 751, 752, 91, 277, 90, 276, 92, 278, 93, 279, 94, 280, 98,
    284, 100, 286, 103, 289, 102, 288, 398, 425, 400, 427, 446, 448, 447, 449, 120, 306, 121, 307, 123, 309, 127, 313,
    753, 754, 129, 315, 132, 318, 134, 320, 450, 451, 452, 453, 755, 756, 137, 323, 139, 326, 143, 330, 142, 329, 159,
    346, 162, 349, 161, 348, 454, 455, 456, 457, 163, 350, 164, 351, 165, 352, 166, 353, 169, 356, 168, 355, 170, 358,
    171, 359, 172, 360, 178, 366, 183, 372, 186, 375, 187, 376, 250, 324, 357, 369, 458, 16, 201, 11, 196, 381, 408,
    380, 407, 383, 410, 382, 409, 757, 759, 435, 439, 434, 438, 437, 441, 436, 440, 758, 760, 45, 230, 41, 226, 36,
    221, 390, 417, 389, 416, 392, 419, 391, 418, 761, 762, 73, 258, 77, 262, 118, 304, 112, 298, 395, 422, 394, 421,
    397, 424, 396, 423, 763, 764, 460, 465, 459, 464, 462, 467, 461, 466, 463, 468, 158, 345, 151, 338, 470, 475, 469,
    474, 472, 477, 471, 476, 473, 478, 173, 361, 181, 370, 180, 368, 176, 364, 535, 536, 765, 769, 766, 770, 767, 771,
    494, 495, 779, 783, 780, 784, 781, 785, 541, 542, 793, 795, 794, 796, 499, 500, 797, 799, 798, 800, 545, 546, 801,
    805, 802, 806, 803, 807, 503, 504, 815, 819, 816, 820, 817, 821, 554, 555, 829, 832, 830, 833, 831, 834, 511, 512,
    835, 838, 836, 839, 837, 840, 559, 560, 841, 843, 842, 844, 515, 516, 845, 847, 846, 848, 568, 569, 849, 852, 850,
    853, 851, 854, 523, 855, 856, 857, 573, 574, 858, 862, 859, 863, 860, 864, 526, 527, 872, 876, 873, 877, 874, 878,
    531, 539, 543, 549, 557, 563, 571, 768, 772, 773, 774, 775, 776, 777, 778, 782, 786, 787, 788, 789, 790, 791, 792,
    804, 808, 809, 810, 811, 812, 813, 814, 818, 822, 823, 824, 825, 826, 827, 828, 861, 865, 866, 867, 868, 869, 870,
    871, 875, 879, 880, 881, 882, 883, 884, 885, 534, 533, 886, 538, 529, 537, 889, 493, 492, 490, 496, 379, 887, 548,
    530, 547, 893, 497, 501, 505, 890, 891, 892, 552, 551, 577, 556, 579, 509, 508, 506, 895, 896, 897, 566, 565, 580,
    561, 562, 570, 582, 521, 520, 518, 517, 377, 888, 576, 583, 575, 894, 513, 524, 528, 898, 899, 900, 901, 903, 902,
    904, 905, 906, 907, 908, 909, 910, 911, 912, 1, 914, 913, 0, 2, 915, 916, 917, 918, 919, 920, 921, 922, 925, 926,
    927, 928, 931, 932, 933, 934, 923, 924, 929, 930, 935, 936, 937, 938, 939, 941, 942, 943, 944, 945, 946, 947, 948,
    949, 950, 951, 952, 953, 954, 955, 956, 957, 958, 959, 960, 961, 962, 963, 964, 965, 940, 966, 968, 969, 970, 971,
    972, 973, 974, 975, 976, 977, 978, 979, 980, 981, 982, 983, 984, 985, 986, 987, 988, 989, 990, 991, 992, 967, 993,
    994, 995, 996, 997, 650, 669, 666, 667, 998, 999, 638, 639, 640, 641, 643, 644, 645, 647, 648, 649, 651, 652, 653,
    655, 656, 657, 658, 659, 660, 662, 663, 664, 665, 668, 646, 642, 654, 661, 1000, 1001, 1002, 1003, 1004, 1005,
    1006, 1008, 1007, 1009, 1010, 1011, 1012, 1013, 1014, 1015, 1016, 1017, 1018, 1019, 1020, 1021, 1023, 1022, 1024
};
static const uint16_t cq__nfc_single[33][2] = {
    {0x340, 0x300}, {0x341, 0x301}, {0x343, 0x313}, {0x374, 0x2b9}, {0x37e, 0x3b}, {0x387, 0xb7}, {0x1f71, 0x3ac},
    {0x1f73, 0x3ad}, {0x1f75, 0x3ae}, {0x1f77, 0x3af}, {0x1f79, 0x3cc}, {0x1f7b, 0x3cd}, {0x1f7d, 0x3ce}, {0x1fbb,
    0x386}, {0x1fbe, 0x3b9}, {0x1fc9, 0x388}, {0x1fcb, 0x389}, {0x1fd3, 0x390}, {0x1fdb, 0x38a}, {0x1fe3, 0x3b0},
    {0x1feb, 0x38e}, {0x1fee, 0x385}, {0x1fef, 0x60}, {0x1ff9, 0x38c}, {0x1ffb, 0x38f}, {0x1ffd, 0xb4}, {0x2000,
    0x2002}, {0x2001, 0x2003}, {0x2126, 0x3a9}, {0x212a, 0x4b}, {0x212b, 0xc5}, {0x2329, 0x3008}, {0x232a, 0x3009}
};
static const uint32_t cq__nfc_f900[474] = {
    0x8c48, 0x66f4, 0x8eca, 0x8cc8, 0x6ed1, 0x4e32, 0x53e5, 0x9f9c, 0x9f9c, 0x5951, 0x91d1, 0x5587, 0x5948, 0x61f6,
    0x7669, 0x7f85, 0x863f, 0x87ba, 0x88f8, 0x908f, 0x6a02, 0x6d1b, 0x70d9, 0x73de, 0x843d, 0x916a, 0x99f1, 0x4e82,
    0x5375, 0x6b04, 0x721b, 0x862d, 0x9e1e, 0x5d50, 0x6feb, 0x85cd, 0x8964, 0x62c9, 0x81d8, 0x881f, 0x5eca, 0x6717,
    0x6d6a, 0x72fc, 0x90ce, 0x4f86, 0x51b7, 0x52de, 0x64c4, 0x6ad3, 0x7210, 0x76e7, 0x8001, 0x8606, 0x865c, 0x8def,
    0x9732, 0x9b6f, 0x9dfa, 0x788c, 0x797f, 0x7da0, 0x83c9, 0x9304, 0x9e7f, 0x8ad6, 0x58df, 0x5f04, 0x7c60, 0x807e,
    0x7262, 0x78ca, 0x8cc2, 0x96f7, 0x58d8, 0x5c62, 0x6a13, 0x6dda, 0x6f0f, 0x7d2f, 0x7e37, 0x964b, 0x52d2, 0x808b,
    0x51dc, 0x51cc, 0x7a1c, 0x7dbe, 0x83f1, 0x9675, 0x8b80, 0x62cf, 0x6a02, 0x8afe, 0x4e39, 0x5be7, 0x6012, 0x7387,
    0x7570, 0x5317, 0x78fb, 0x4fbf, 0x5fa9, 0x4e0d, 0x6ccc, 0x6578, 0x7d22, 0x53c3, 0x585e, 0x7701, 0x8449, 0x8aaa,
    0x6bba, 0x8fb0, 0x6c88, 0x62fe, 0x82e5, 0x63a0, 0x7565, 0x4eae, 0x5169, 0x51c9, 0x6881, 0x7ce7, 0x826f, 0x8ad2,
    0x91cf, 0x52f5, 0x5442, 0x5973, 0x5eec, 0x65c5, 0x6ffe, 0x792a, 0x95ad, 0x9a6a, 0x9e97, 0x9ece, 0x529b, 0x66c6,
    0x6b77, 0x8f62, 0x5e74, 0x6190, 0x6200, 0x649a, 0x6f23, 0x7149, 0x7489, 0x79ca, 0x7df4, 0x806f, 0x8f26, 0x84ee,
    0x9023, 0x934a, 0x5217, 0x52a3, 0x54bd, 0x70c8, 0x88c2, 0x8aaa, 0x5ec9, 0x5ff5, 0x637b, 0x6bae, 0x7c3e, 0x7375,
    0x4ee4, 0x56f9, 0x5be7, 0x5dba, 0x601c, 0x73b2, 0x7469, 0x7f9a, 0x8046, 0x9234, 0x96f6, 0x9748, 0x9818, 0x4f8b,
    0x79ae, 0x91b4, 0x96b8, 0x60e1, 0x4e86, 0x50da, 0x5bee, 0x5c3f, 0x6599, 0x6a02, 0x71ce, 0x7642, 0x84fc, 0x907c,
    0x9f8d, 0x6688, 0x962e, 0x5289, 0x677b, 0x67f3, 0x6d41, 0x6e9c, 0x7409, 0x7559, 0x786b, 0x7d10, 0x985e, 0x516d,
    0x622e, 0x9678, 0x502b, 0x5d19, 0x6dea, 0x8f2a, 0x5f8b, 0x6144, 0x6817, 0x7387, 0x9686, 0x5229, 0x540f, 0x5c65,
    0x6613, 0x674e, 0x68a8, 0x6ce5, 0x7406, 0x75e2, 0x7f79, 0x88cf, 0x88e1, 0x91cc, 0x96e2, 0x533f, 0x6eba, 0x541d,
    0x71d0, 0x7498, 0x85fa, 0x96a3, 0x9c57, 0x9e9f, 0x6797, 0x6dcb, 0x81e8, 0x7acb, 0x7b20, 0x7c92, 0x72c0, 0x7099,
    0x8b58, 0x4ec0, 0x8336, 0x523a, 0x5207, 0x5ea6, 0x62d3, 0x7cd6, 0x5b85, 0x6d1e, 0x66b4, 0x8f3b, 0x884c, 0x964d,
    0x898b, 0x5ed3, 0x5140, 0x55c0, 0x0, 0x0, 0x585a, 0x0, 0x6674, 0x0, 0x0, 0x51de, 0x732a, 0x76ca, 0x793c, 0x795e,
    0x7965, 0x798f, 0x9756, 0x7cbe, 0x7fbd, 0x0, 0x8612, 0x0, 0x8af8, 0x0, 0x0, 0x9038, 0x90fd, 0x0, 0x0, 0x0, 0x98ef,
    0x98fc, 0x9928, 0x9db4, 0x90de, 0x96b7, 0x4fae, 0x50e7, 0x514d, 0x52c9, 0x52e4, 0x5351, 0x559d, 0x5606, 0x5668,
    0x5840, 0x58a8, 0x5c64, 0x5c6e, 0x6094, 0x6168, 0x618e, 0x61f2, 0x654f, 0x65e2, 0x6691, 0x6885, 0x6d77, 0x6e1a,
    0x6f22, 0x716e, 0x722b, 0x7422, 0x7891, 0x793e, 0x7949, 0x7948, 0x7950, 0x7956, 0x795d, 0x798d, 0x798e, 0x7a40,
    0x7a81, 0x7bc0, 0x7df4, 0x7e09, 0x7e41, 0x7f72, 0x8005, 0x81ed, 0x8279, 0x8279, 0x8457, 0x8910, 0x8996, 0x8b01,
    0x8b39, 0x8cd3, 0x8d08, 0x8fb6, 0x9038, 0x96e3, 0x97ff, 0x983b, 0x6075, 0x242ee, 0x8218, 0x0, 0x0, 0x4e26, 0x51b5,
    0x5168, 0x4f80, 0x5145, 0x5180, 0x52c7, 0x52fa, 0x559d, 0x5555, 0x5599, 0x55e2, 0x585a, 0x58b3, 0x5944, 0x5954,
    0x5a62, 0x5b28, 0x5ed2, 0x5ed9, 0x5f69, 0x5fad, 0x60d8, 0x614e, 0x6108, 0x618e, 0x6160, 0x61f2, 0x6234, 0x63c4,
    0x641c, 0x6452, 0x6556, 0x6674, 0x6717, 0x671b, 0x6756, 0x6b79, 0x6bba, 0x6d41, 0x6edb, 0x6ecb, 0x6f22, 0x701e,
    0x716e, 0x77a7, 0x7235, 0x72af, 0x732a, 0x7471, 0x7506, 0x753b, 0x761d, 0x761f, 0x76ca, 0x76db, 0x76f4, 0x774a,
    0x7740, 0x78cc, 0x7ab1, 0x7bc0, 0x7c7b, 0x7d5b, 0x7df4, 0x7f3e, 0x8005, 0x8352, 0x83ef, 0x8779, 0x8941, 0x8986,
    0x8996, 0x8abf, 0x8af8, 0x8acb, 0x8b01, 0x8afe, 0x8aed, 0x8b39, 0x8b8a, 0x8d08, 0x8f38, 0x9072, 0x9199, 0x9276,
    0x967c, 0x96e3, 0x9756, 0x97db, 0x97ff, 0x980b, 0x983b, 0x9b12, 0x9f9c, 0x2284a, 0x22844, 0x233d5, 0x3b9d, 0x4018,
    0x4039, 0x25249, 0x25cd0, 0x27ed3, 0x9f43, 0x9f8e
};
static const uint32_t cq__nfc_2f800[542] = {
    0x4e3d, 0x4e38, 0x4e41, 0x20122, 0x4f60, 0x4fae, 0x4fbb, 0x5002, 0x507a, 0x5099, 0x50e7, 0x50cf, 0x349e, 0x2063a,
    0x514d, 0x5154, 0x5164, 0x5177, 0x2051c, 0x34b9, 0x5167, 0x518d, 0x2054b, 0x5197, 0x51a4, 0x4ecc, 0x51ac, 0x51b5,
    0x291df, 0x51f5, 0x5203, 0x34df, 0x523b, 0x5246, 0x5272, 0x5277, 0x3515, 0x52c7, 0x52c9, 0x52e4, 0x52fa, 0x5305,
    0x5306, 0x5317, 0x5349, 0x5351, 0x535a, 0x5373, 0x537d, 0x537f, 0x537f, 0x537f, 0x20a2c, 0x7070, 0x53ca, 0x53df,
    0x20b63, 0x53eb, 0x53f1, 0x5406, 0x549e, 0x5438, 0x5448, 0x5468, 0x54a2, 0x54f6, 0x5510, 0x5553, 0x5563, 0x5584,
    0x5584, 0x5599, 0x55ab, 0x55b3, 0x55c2, 0x5716, 0x5606, 0x5717, 0x5651, 0x5674, 0x5207, 0x58ee, 0x57ce, 0x57f4,
    0x580d, 0x578b, 0x5832, 0x5831, 0x58ac, 0x214e4, 0x58f2, 0x58f7, 0x5906, 0x591a, 0x5922, 0x5962, 0x216a8, 0x216ea,
    0x59ec, 0x5a1b, 0x5a27, 0x59d8, 0x5a66, 0x36ee, 0x36fc, 0x5b08, 0x5b3e, 0x5b3e, 0x219c8, 0x5bc3, 0x5bd8, 0x5be7,
    0x5bf3, 0x21b18, 0x5bff, 0x5c06, 0x5f53, 0x5c22, 0x3781, 0x5c60, 0x5c6e, 0x5cc0, 0x5c8d, 0x21de4, 0x5d43, 0x21de6,
    0x5d6e, 0x5d6b, 0x5d7c, 0x5de1, 0x5de2, 0x382f, 0x5dfd, 0x5e28, 0x5e3d, 0x5e69, 0x3862, 0x22183, 0x387c, 0x5eb0,
    0x5eb3, 0x5eb6, 0x5eca, 0x2a392, 0x5efe, 0x22331, 0x22331, 0x8201, 0x5f22, 0x5f22, 0x38c7, 0x232b8, 0x261da,
    0x5f62, 0x5f6b, 0x38e3, 0x5f9a, 0x5fcd, 0x5fd7, 0x5ff9, 0x6081, 0x393a, 0x391c, 0x6094, 0x226d4, 0x60c7, 0x6148,
    0x614c, 0x614e, 0x614c, 0x617a, 0x618e, 0x61b2, 0x61a4, 0x61af, 0x61de, 0x61f2, 0x61f6, 0x6210, 0x621b, 0x625d,
    0x62b1, 0x62d4, 0x6350, 0x22b0c, 0x633d, 0x62fc, 0x6368, 0x6383, 0x63e4, 0x22bf1, 0x6422, 0x63c5, 0x63a9, 0x3a2e,
    0x6469, 0x647e, 0x649d, 0x6477, 0x3a6c, 0x654f, 0x656c, 0x2300a, 0x65e3, 0x66f8, 0x6649, 0x3b19, 0x6691, 0x3b08,
    0x3ae4, 0x5192, 0x5195, 0x6700, 0x669c, 0x80ad, 0x43d9, 0x6717, 0x671b, 0x6721, 0x675e, 0x6753, 0x233c3, 0x3b49,
    0x67fa, 0x6785, 0x6852, 0x6885, 0x2346d, 0x688e, 0x681f, 0x6914, 0x3b9d, 0x6942, 0x69a3, 0x69ea, 0x6aa8, 0x236a3,
    0x6adb, 0x3c18, 0x6b21, 0x238a7, 0x6b54, 0x3c4e, 0x6b72, 0x6b9f, 0x6bba, 0x6bbb, 0x23a8d, 0x21d0b, 0x23afa, 0x6c4e,
    0x23cbc, 0x6cbf, 0x6ccd, 0x6c67, 0x6d16, 0x6d3e, 0x6d77, 0x6d41, 0x6d69, 0x6d78, 0x6d85, 0x23d1e, 0x6d34, 0x6e2f,
    0x6e6e, 0x3d33, 0x6ecb, 0x6ec7, 0x23ed1, 0x6df9, 0x6f6e, 0x23f5e, 0x23f8e, 0x6fc6, 0x7039, 0x701e, 0x701b, 0x3d96,
    0x704a, 0x707d, 0x7077, 0x70ad, 0x20525, 0x7145, 0x24263, 0x719c, 0x243ab, 0x7228, 0x7235, 0x7250, 0x24608, 0x7280,
    0x7295, 0x24735, 0x24814, 0x737a, 0x738b, 0x3eac, 0x73a5, 0x3eb8, 0x3eb8, 0x7447, 0x745c, 0x7471, 0x7485, 0x74ca,
    0x3f1b, 0x7524, 0x24c36, 0x753e, 0x24c92, 0x7570, 0x2219f, 0x7610, 0x24fa1, 0x24fb8, 0x25044, 0x3ffc, 0x4008,
    0x76f4, 0x250f3, 0x250f2, 0x25119, 0x25133, 0x771e, 0x771f, 0x771f, 0x774a, 0x4039, 0x778b, 0x4046, 0x4096,
    0x2541d, 0x784e, 0x788c, 0x78cc, 0x40e3, 0x25626, 0x7956, 0x2569a, 0x256c5, 0x798f, 0x79eb, 0x412f, 0x7a40, 0x7a4a,
    0x7a4f, 0x2597c, 0x25aa7, 0x25aa7, 0x7aee, 0x4202, 0x25bab, 0x7bc6, 0x7bc9, 0x4227, 0x25c80, 0x7cd2, 0x42a0,
    0x7ce8, 0x7ce3, 0x7d00, 0x25f86, 0x7d63, 0x4301, 0x7dc7, 0x7e02, 0x7e45, 0x4334, 0x26228, 0x26247, 0x4359, 0x262d9,
    0x7f7a, 0x2633e, 0x7f95, 0x7ffa, 0x8005, 0x264da, 0x26523, 0x8060, 0x265a8, 0x8070, 0x2335f, 0x43d5, 0x80b2,
    0x8103, 0x440b, 0x813e, 0x5ab5, 0x267a7, 0x267b5, 0x23393, 0x2339c, 0x8201, 0x8204, 0x8f9e, 0x446b, 0x8291, 0x828b,
    0x829d, 0x52b3, 0x82b1, 0x82b3, 0x82bd, 0x82e6, 0x26b3c, 0x82e5, 0x831d, 0x8363, 0x83ad, 0x8323, 0x83bd, 0x83e7,
    0x8457, 0x8353, 0x83ca, 0x83cc, 0x83dc, 0x26c36, 0x26d6b, 0x26cd5, 0x452b, 0x84f1, 0x84f3, 0x8516, 0x273ca, 0x8564,
    0x26f2c, 0x455d, 0x4561, 0x26fb1, 0x270d2, 0x456b, 0x8650, 0x865c, 0x8667, 0x8669, 0x86a9, 0x8688, 0x870e, 0x86e2,
    0x8779, 0x8728, 0x876b, 0x8786, 0x45d7, 0x87e1, 0x8801, 0x45f9, 0x8860, 0x8863, 0x27667, 0x88d7, 0x88de, 0x4635,
    0x88fa, 0x34bb, 0x278ae, 0x27966, 0x46be, 0x46c7, 0x8aa0, 0x8aed, 0x8b8a, 0x8c55, 0x27ca8, 0x8cab, 0x8cc1, 0x8d1b,
    0x8d77, 0x27f2f, 0x20804, 0x8dcb, 0x8dbc, 0x8df0, 0x208de, 0x8ed4, 0x8f38, 0x285d2, 0x285ed, 0x9094, 0x90f1,
    0x9111, 0x2872e, 0x911b, 0x9238, 0x92d7, 0x92d8, 0x927c, 0x93f9, 0x9415, 0x28bfa, 0x958b, 0x4995, 0x95b7, 0x28d77,
    0x49e6, 0x96c3, 0x5db2, 0x9723, 0x29145, 0x2921a, 0x4a6e, 0x4a76, 0x97e0, 0x2940a, 0x4ab2, 0x29496, 0x980b, 0x980b,
    0x9829, 0x295b6, 0x98e2, 0x4b33, 0x9929, 0x99a7, 0x99c2, 0x99fe, 0x4bce, 0x29b30, 0x9b12, 0x9c40, 0x9cfd, 0x4cce,
    0x4ced, 0x9d67, 0x2a0ce, 0x4cf8, 0x2a105, 0x2a20e, 0x2a291, 0x9ebb, 0x4d56, 0x9ef9, 0x9efe, 0x9f05, 0x9f0f, 0x9f16,
    0x9f3b, 0x2a600
};

/* One word for each run of code points alike, in order: first << 11 | unstable << 10 | kind << 8 | combining class.
   Unstable: NFC may change it (Unicode's NFC_Quick_Check is not Yes). */
static uint32_t cq__uni_find(uint32_t c) {
    size_t lo = 0, hi = sizeof cq__uni_runs / sizeof cq__uni_runs[0]; /* run lo starts at or before c, run hi after it */
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (cq__uni_runs[mid] >> 11 <= c) lo = mid;
        else hi = mid;
    }
    return cq__uni_runs[lo];
}
static unsigned cq__uni_kind(uint32_t c) {
    return c < 0x80 ? cq__uni_kind_ascii(c) : (unsigned)(cq__uni_find(c) >> 8 & 3u);
}
static uint32_t cq__uni_class(uint32_t c) { return c < 0x300 ? 0 : cq__uni_find(c) & 0xffu; }

/* -------------------------------------------------------------------------------------------------------------------
   3 NFC (Unicode Standard Annex 15): take every character apart, put the marks behind each base in the order of their
   classes, put together again what has a composed form. A base that is stable starts a segment on which nothing before
   it has any influence, so text is normalised segment by segment; nearly all text is one unchanging character each.
   tokenizers' normaliser knows the marks of Unicode 9: a mark assigned later stays where it is, here as there.
   ------------------------------------------------------------------------------------------------------------------ */
#define CQ__HANGUL 0xac00u /* syllables = CQ__HANGUL + (lead * 21 + vowel) * 28 + tail, tail 0: none */
#define CQ__HANGUL_COUNT 11172u
#define CQ__HANGUL_LEAD 0x1100u
#define CQ__HANGUL_VOWEL 0x1161u
#define CQ__HANGUL_TAIL 0x11a7u

/* One step apart: c = a b, or c = a with *b = 0; false if c stays. Only a can have a next step. */
static bool cq__nfc_apart(uint32_t c, uint32_t *a, uint32_t *b) {
    const size_t pairs = sizeof cq__nfc_pairs / sizeof cq__nfc_pairs[0];
    size_t lo = 0, hi = pairs, i;
    *b = 0;
    if (c < 0xc0) return false;
    if (c - CQ__HANGUL < CQ__HANGUL_COUNT) { /* syllable with tail = (lead vowel) tail; (lead vowel) = lead vowel */
        uint32_t x = c - CQ__HANGUL, tail = x % 28;
        *a = tail ? c - tail : CQ__HANGUL_LEAD + x / (21 * 28);
        *b = tail ? CQ__HANGUL_TAIL + tail : CQ__HANGUL_VOWEL + x / 28 % 21;
        return true;
    }
    if (c - 0xf900u < sizeof cq__nfc_f900 / sizeof cq__nfc_f900[0]) return (*a = cq__nfc_f900[c - 0xf900u]) != 0;
    if (c - 0x2f800u < sizeof cq__nfc_2f800 / sizeof cq__nfc_2f800[0]) return (*a = cq__nfc_2f800[c - 0x2f800u]) != 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        uint64_t pair = cq__nfc_pairs[cq__nfc_order[mid]];
        uint32_t whole = (uint32_t)(pair >> 1) & 0x1fffffu;
        if (whole == c) {
            *a = (uint32_t)(pair >> 43);
            *b = (uint32_t)(pair >> 22) & 0x1fffffu;
            return true;
        }
        if (whole < c) lo = mid + 1;
        else hi = mid;
    }
    for (i = 0; i < sizeof cq__nfc_single / sizeof cq__nfc_single[0]; i++)
        if (cq__nfc_single[i][0] == c) return *a = cq__nfc_single[i][1], true;
    return false;
}

/* The character that a and b compose to; 0 if none. */
static uint32_t cq__nfc_together(uint32_t a, uint32_t b) {
    uint64_t key = (uint64_t)a << 21 | b;
    size_t lo = 0, hi = sizeof cq__nfc_pairs / sizeof cq__nfc_pairs[0];
    if (a - CQ__HANGUL_LEAD < 19u && b - CQ__HANGUL_VOWEL < 21u)
        return CQ__HANGUL + ((a - CQ__HANGUL_LEAD) * 21 + (b - CQ__HANGUL_VOWEL)) * 28;
    if (a - CQ__HANGUL < CQ__HANGUL_COUNT && (a - CQ__HANGUL) % 28 == 0 && b - CQ__HANGUL_TAIL - 1u < 27u)
        return a + (b - CQ__HANGUL_TAIL);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        uint64_t pair = cq__nfc_pairs[mid];
        if (pair >> 22 == key) return pair & 1u ? 0 : (uint32_t)(pair >> 1) & 0x1fffffu; /* 1: not to be composed */
        if (pair >> 22 < key) lo = mid + 1;
        else hi = mid;
    }
    return 0;
}

/* Sorts by class, which stands above bit 24, and keeps the order of equals: merges runs of 1, 2, 4, ... n log n, since
   a hostile text may have a million marks in a row. x, y: (n); the result is in x. */
static void cq__nfc_sort(uint32_t *x, uint32_t *y, size_t n) {
    size_t width, i, j, k, end, mid, start;
    for (width = 1; width < n; width *= 2) {
        for (start = 0; start < n; start = end) {
            mid = n - start < width ? n : start + width;
            end = n - mid < width ? n : mid + width;
            for (i = start, j = mid, k = start; k < end; k++)
                y[k] = i < mid && (j == end || x[i] >> 24 <= x[j] >> 24) ? x[i++] : x[j++];
        }
        for (k = 0; k < n; k++) x[k] = y[k];
    }
}

static size_t cq__utf8_code(unsigned char *out, uint32_t c) {
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, i;
    for (i = n; i-- > 1; c >>= 6) out[i] = (unsigned char)(0x80u | (c & 0x3fu));
    out[0] = (unsigned char)(n == 1 ? c : ((0xf00u >> n) & 0xffu) | c); /* 110xxxxx, 1110xxxx, 11110xxx */
    return n;
}

/* One segment s[0 .. n) to out; x, y: (4 code points for each of the segment) each. Returns the bytes written. */
static size_t cq__nfc_segment(unsigned char *out, const unsigned char *s, size_t n, uint32_t *x, uint32_t *y) {
    size_t pos = 0, count = 0, kept = 0, base = 0, i, bytes = 0;
    bool have_base = false;
    uint32_t last = 0; /* class of the code point before */
    while (pos < n) { /* apart: at most 4 code points each, at most 4 steps (unicode_tables.py checks) */
        uint32_t c = cq__utf8_next(s, &pos), a, b, tail[4];
        unsigned tails = 0;
        while (tails < 4 && cq__nfc_apart(c, &a, &b)) {
            if (b) tail[tails++] = b;
            c = a;
        }
        x[count++] = c | cq__uni_class(c) << 24;
        for (; tails > 0; tails--) x[count++] = tail[tails - 1] | cq__uni_class(tail[tails - 1]) << 24;
    }
    for (i = 0; i < count;) { /* each run of marks into order */
        size_t start = i;
        while (i < count && x[i] >> 24) i++;
        cq__nfc_sort(x + start, y, i - start);
        if (i == start) i++;
    }
    for (i = 0; i < count; i++) { /* together: a mark joins its base unless one of its class or higher is between */
        uint32_t c = x[i] & 0xffffffu, k = x[i] >> 24, whole;
        if (have_base && (kept == base + 1 || last < k) && (whole = cq__nfc_together(x[base], c)) != 0) {
            x[base] = whole;
            continue;
        }
        if (!k) {
            base = kept;
            have_base = true;
        }
        last = k;
        x[kept++] = c;
    }
    for (i = 0; i < kept; i++) bytes += cq__utf8_code(out + bytes, x[i]);
    return bytes;
}

/* Is it NFC already? Yes, if every character is stable and no mark stands behind one of a higher class. */
static bool cq__nfc_done(const unsigned char *s, size_t n) {
    size_t pos = 0;
    uint32_t last = 0;
    while (pos < n) {
        uint32_t c, word, k;
        if (s[pos] < 0x80) {
            pos++;
            last = 0;
            continue;
        }
        c = cq__utf8_next(s, &pos);
        word = cq__uni_find(c);
        k = word & 0xffu;
        if (word >> 10 & 1u || (k && k < last)) return false;
        last = k;
    }
    return true;
}

/* *text (*n bytes) becomes its NFC: itself, or in scratch. NFC makes at most 3 bytes of one (Unicode's FAQ on
   normalisation; U+1D160 is the worst). */
static cq_status cq__nfc(const unsigned char **text, size_t *n, cq_arena *scratch, cq_error *err) {
    const unsigned char *s = *text;
    unsigned char *out;
    size_t used, pos = 0, bytes = 0;
    if (cq__nfc_done(s, *n)) return CQ_OK;
    out = (unsigned char *)cq_alloc(scratch, *n, 3);
    if (!out) return cq_fail(err, CQ_ERR_MEMORY, "tokenizer: scratch too small for the text in NFC");
    used = scratch->used;
    while (pos < *n) {
        size_t start = pos, codes = 1, next;
        uint32_t *x;
        bool unstable = (cq__uni_find(cq__utf8_next(s, &pos)) & 0x4ffu) != 0;
        while (pos < *n) { /* the segment ends before the next stable base */
            next = pos;
            if (!(cq__uni_find(cq__utf8_next(s, &next)) & 0x4ffu)) break;
            pos = next;
            codes++;
        }
        if (codes == 1 && !unstable) {
            while (start < pos) out[bytes++] = s[start++];
            continue;
        }
        x = (uint32_t *)cq_alloc(scratch, codes, 8 * sizeof *x);
        if (!x) return cq_fail(err, CQ_ERR_MEMORY, "tokenizer: scratch too small for a run of marks");
        bytes += cq__nfc_segment(out + bytes, s + start, pos - start, x, x + 4 * codes);
        scratch->used = used;
    }
    *text = out;
    *n = bytes;
    return CQ_OK;
}
#endif /* CQUANT_ASCII_ONLY */

/* -------------------------------------------------------------------------------------------------------------------
   4 Pieces. tokenizer.json holds a regular expression; three of them are followed by hand, told apart by their text:

                        Qwen2                      Llama-3      GPT-2
       contraction      (?i:'s|'t|'re|'ve|'m|'ll|'d)  same      's|'t|'re|'ve|'m|'ll|'d
       letters          [^\r\n\p{L}\p{N}]?\p{L}+      same       ?\p{L}+
       numbers          \p{N}                         \p{N}{1,3} ?\p{N}+
       others            ?[^\s\p{L}\p{N}]+[\r\n]*     same       ?[^\s\p{L}\p{N}]+
       blanks           \s*[\r\n]+|\s+(?!\S)|\s+      same      \s+(?!\S)|\s+

   The first alternative that matches wins. Every character is a letter, a number, blank or other, so every text is cut
   without remainder. \s+(?!\S) leaves the last blank of several to the word behind it: "a   b" = "a" "  " " b".
   To add a rule: copy a row, give it the next number (they stand in blobs), add a golden to test_tokenizer.c.
   ------------------------------------------------------------------------------------------------------------------ */
typedef struct cq__split_rule {
    const char *regex;
    uint32_t number;    /* in blobs */
    bool modern;        /* contractions in any case; any character before letters; line ends belong to pieces */
    unsigned digits;    /* numbers in pieces of so many; 0: any, with a space before */
} cq__split_rule;

static const cq__split_rule cq__split_rules[3] = {
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
     "\\s+(?!\\S)|\\s+",
     1, true, 1},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
     "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     2, true, 3},
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", 3, false, 0},
};

static const cq__split_rule *cq__split_rule_of(uint32_t number) {
    size_t i;
    for (i = 0; i < sizeof cq__split_rules / sizeof cq__split_rules[0]; i++)
        if (cq__split_rules[i].number == number) return &cq__split_rules[i];
    return NULL;
}

/* The kind of the character at *pos, and *pos behind it; at the end CQ__SPLIT_END, which no rule asks for. */
#define CQ__SPLIT_END 4u
static unsigned cq__split_kind(const unsigned char *s, size_t n, size_t *pos) {
    return *pos < n ? cq__uni_kind(cq__utf8_next(s, pos)) : CQ__SPLIT_END;
}

/* Behind the characters of this kind from pos on, at most `most` of them (0: any number). */
static size_t cq__split_run(const unsigned char *s, size_t n, size_t pos, unsigned kind, unsigned most) {
    unsigned count = 0;
    size_t next = pos;
    while ((!most || count < most) && cq__split_kind(s, n, &next) == kind) {
        pos = next;
        count++;
    }
    return pos;
}

/* Bytes of the contraction at s; 0: none. In any case includes U+017F (C5 BF), the long s, which folds to s. */
static size_t cq__split_contraction(const unsigned char *s, size_t n, bool any_case) {
    unsigned fold = any_case ? 0x20u : 0u, a, b;
    if (n < 2 || s[0] != '\'') return 0;
    a = s[1] | fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (n < 3) return 0;
    if (any_case && s[1] == 0xc5 && s[2] == 0xbf) return 3;
    b = s[2] | fold;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* Bytes of the first piece of s; n > 0. */
static size_t cq__split(const cq__split_rule *r, const unsigned char *s, size_t n) {
    size_t first = 0, second, end, pos, last = 0, line = 0;
    unsigned kind = cq__split_kind(s, n, &first), next;
    bool newline = s[0] == '\r' || s[0] == '\n', space = s[0] == ' ', lead;
    second = first;
    next = cq__split_kind(s, n, &second);

    end = cq__split_contraction(s, n, r->modern);
    if (end) return end;
    lead = r->modern ? !newline && kind != CQ__UNI_NUMBER : space;
    if (kind == CQ__UNI_LETTER || (lead && next == CQ__UNI_LETTER))
        return cq__split_run(s, n, first, CQ__UNI_LETTER, 0);
    if (kind == CQ__UNI_NUMBER) return cq__split_run(s, n, 0, CQ__UNI_NUMBER, r->digits);
    if (!r->digits && space && next == CQ__UNI_NUMBER) return cq__split_run(s, n, first, CQ__UNI_NUMBER, 0);
    if (kind == CQ__UNI_OTHER || (space && next == CQ__UNI_OTHER)) {
        end = cq__split_run(s, n, first, CQ__UNI_OTHER, 0);
        while (r->modern && end < n && (s[end] == '\r' || s[end] == '\n')) end++;
        return end;
    }
    for (pos = end = 0; cq__split_kind(s, n, &pos) == CQ__UNI_BLANK; end = pos) { /* blanks: s[0 .. end) */
        last = end;                                                              /* where the last one starts */
        if (s[end] == '\r' || s[end] == '\n') line = pos;                        /* behind the last line end */
    }
    if (r->modern && line) return line;
    return end == n || last == 0 ? end : last;
}

/* -------------------------------------------------------------------------------------------------------------------
   The blob. All words are 32-bit little-endian, on multiples of 4; read byte by byte, so the blob may lie anywhere.

       header  "CQTK", version 1, bytes of the blob, vocab, indexed, merges, added, raw, bytes, rule, flags, 0
       byte    (256)         the id of each single byte; all ones for the bytes that UTF-8 never has
       start   (vocab + 1)   pool[start[id] .. start[id + 1]) is the text of a token
       index   (indexed)     ids in the order of their bytes: from bytes to id by binary search
       first   (vocab + 1)   merges whose left side is id: merge[first[id] .. first[id + 1])
       added   (added, 4)    begin in pool, length, id, special; the raw ones by their bytes, then the others by theirs
       pool    (bytes)       strings, filled up to a multiple of 4
       merge   (merges, 3)   right id, rank, joined id; by right id
   ------------------------------------------------------------------------------------------------------------------ */
#define CQ__TOK_MAGIC 0x4b545143u
#define CQ__TOK_HEADER 12u
#define CQ__TOK_NONE 0xffffffffu
#define CQ__TOK_NFC 1u           /* flags */
#define CQ__TOK_IGNORE_MERGES 2u /* a piece that is a token becomes it, whatever the merges say (Llama-3) */

static uint32_t cq__tok_u32(const cq_tokenizer *t, size_t section, size_t i) {
    const unsigned char *p = t->blob + section + 4 * i;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Places the sections after t's counts; false if they need 4 GiB or more. */
static bool cq__tok_place(cq_tokenizer *t) {
    uint64_t at = 4 * CQ__TOK_HEADER;
    at += 4 * 256 + 8 * ((uint64_t)t->vocab + 1) + 4 * (uint64_t)t->indexed + 12 * (uint64_t)t->merges +
          16 * (uint64_t)t->added + t->bytes;
    if (at > UINT32_MAX || at > SIZE_MAX) return false;
    t->size = (size_t)at;
    t->at_byte = 4 * (size_t)CQ__TOK_HEADER;
    t->at_start = t->at_byte + 4 * 256;
    t->at_index = t->at_start + 4 * ((size_t)t->vocab + 1);
    t->at_first = t->at_index + 4 * (size_t)t->indexed;
    t->at_added = t->at_first + 4 * ((size_t)t->vocab + 1);
    t->at_pool = t->at_added + 16 * (size_t)t->added;
    t->at_merge = t->at_pool + t->bytes;
    return true;
}

static const unsigned char *cq__tok_text(const cq_tokenizer *t, uint32_t id, size_t *n) {
    uint32_t start = cq__tok_u32(t, t->at_start, id);
    *n = cq__tok_u32(t, t->at_start, (size_t)id + 1) - start;
    return t->blob + t->at_pool + start;
}

static const unsigned char *cq__tok_added(const cq_tokenizer *t, size_t i, size_t *n) {
    *n = cq__tok_u32(t, t->at_added, 4 * i + 1);
    return t->blob + t->at_pool + cq__tok_u32(t, t->at_added, 4 * i);
}

/* Bytes that no UTF-8 text has: C0, C1, F5 - FF. Only these may be without a token. */
static bool cq__tok_byte_needed(unsigned byte) { return byte != 0xc0 && byte != 0xc1 && byte < 0xf5; }

static cq_status cq__tok_bad(cq_error *err, const char *what, size_t where, uint32_t got) {
    return cq_fail_at(err, CQ_ERR_FORMAT, what, NULL, 0, where, (int64_t)got);
}

static cq_status cq__tok_check_tokens(const cq_tokenizer *t, cq_error *err) {
    const unsigned char *before = NULL, *s;
    size_t i, n, before_n = 0;
    uint32_t last = 0;
    for (i = 0; i <= t->vocab; i++) {
        uint32_t start = cq__tok_u32(t, t->at_start, i);
        if (start < last || start > t->bytes)
            return cq__tok_bad(err, "tokenizer blob: the text of this id is outside of the pool", i, start);
        last = start;
    }
    for (i = 0; i < 256; i++) {
        uint32_t id = cq__tok_u32(t, t->at_byte, i);
        if (id == CQ__TOK_NONE && !cq__tok_byte_needed((unsigned)i)) continue;
        if (id >= t->vocab) return cq__tok_bad(err, "tokenizer blob: this byte has no token", i, id);
        s = cq__tok_text(t, id, &n);
        if (n != 1 || s[0] != i) return cq__tok_bad(err, "tokenizer blob: the token of a byte is another text", i, id);
    }
    for (i = 0; i < t->indexed; i++) {
        uint32_t id = cq__tok_u32(t, t->at_index, i);
        if (id >= t->vocab) return cq__tok_bad(err, "tokenizer blob: the index has an id beyond the vocabulary", i, id);
        s = cq__tok_text(t, id, &n);
        if (i && cq__tok_compare(before, before_n, s, n) >= 0)
            return cq__tok_bad(err, "tokenizer blob: the index is not in order", i, id);
        before = s;
        before_n = n;
    }
    return CQ_OK;
}

static cq_status cq__tok_check_merges(const cq_tokenizer *t, cq_error *err) {
    size_t id, i;
    if (cq__tok_u32(t, t->at_first, 0) != 0 || cq__tok_u32(t, t->at_first, t->vocab) != t->merges)
        return cq__tok_bad(err, "tokenizer blob: the rows of the merges do not cover them", 0, t->merges);
    for (id = 0; id < t->vocab; id++) {
        uint32_t begin = cq__tok_u32(t, t->at_first, id), end = cq__tok_u32(t, t->at_first, id + 1);
        if (begin > end || end > t->merges)
            return cq__tok_bad(err, "tokenizer blob: the merges of this id are out of order", id, end);
        for (i = begin; i < end; i++) {
            uint32_t right = cq__tok_u32(t, t->at_merge, 3 * i), rank = cq__tok_u32(t, t->at_merge, 3 * i + 1);
            uint32_t joined = cq__tok_u32(t, t->at_merge, 3 * i + 2);
            if (right >= t->vocab || joined >= t->vocab || rank > INT32_MAX)
                return cq__tok_bad(err, "tokenizer blob: this merge names an id beyond the vocabulary", i, right);
            if (i > begin && right <= cq__tok_u32(t, t->at_merge, 3 * (i - 1)))
                return cq__tok_bad(err, "tokenizer blob: this merge is out of order", i, right);
        }
    }
    return CQ_OK;
}

static cq_status cq__tok_check_added(const cq_tokenizer *t, cq_error *err) {
    const unsigned char *before = NULL, *s;
    size_t i, n, before_n = 0;
    for (i = 0; i < t->added; i++) {
        uint32_t begin = cq__tok_u32(t, t->at_added, 4 * i), id = cq__tok_u32(t, t->at_added, 4 * i + 2);
        n = cq__tok_u32(t, t->at_added, 4 * i + 1);
        if (n == 0 || n > t->bytes || begin > t->bytes - n)
            return cq__tok_bad(err, "tokenizer blob: an added token is empty or outside of the pool", i, begin);
        if (id >= t->vocab || cq__tok_u32(t, t->at_added, 4 * i + 3) > 1)
            return cq__tok_bad(err, "tokenizer blob: an added token has an id beyond the vocabulary", i, id);
        s = t->blob + t->at_pool + begin;
        if (!cq__utf8_valid(s, n)) /* text is cut at added tokens, and must stay UTF-8 */
            return cq__tok_bad(err, "tokenizer blob: an added token is not UTF-8", i, id);
        if (i && i != t->raw && cq__tok_compare(before, before_n, s, n) >= 0)
            return cq__tok_bad(err, "tokenizer blob: the added tokens are not in order", i, id);
        before = s;
        before_n = n;
    }
    return CQ_OK;
}

CQUANT_DEF cq_status cq_tokenizer_open(cq_tokenizer *tok, const unsigned char *blob, size_t size, cq_error *err) {
    cq_tokenizer t;
    cq_status status;
    if (!tok || !blob) return cq_fail(err, CQ_ERR_ARG, "cq_tokenizer_open: tok and blob must not be NULL");
    if (size < 4 * CQ__TOK_HEADER) return cq__tok_bad(err, "tokenizer blob: shorter than its header", size, 0);
    t.blob = blob;
    if (cq__tok_u32(&t, 0, 0) != CQ__TOK_MAGIC)
        return cq__tok_bad(err, "tokenizer blob: does not start with CQTK", 0, cq__tok_u32(&t, 0, 0));
    if (cq__tok_u32(&t, 0, 1) != 1)
        return cq_fail_at(err, CQ_ERR_UNSUPPORTED, "tokenizer blob: this version is not known; 1 is", NULL, 0, 4,
                          (int64_t)cq__tok_u32(&t, 0, 1));
    t.vocab = cq__tok_u32(&t, 0, 3);
    t.indexed = cq__tok_u32(&t, 0, 4);
    t.merges = cq__tok_u32(&t, 0, 5);
    t.added = cq__tok_u32(&t, 0, 6);
    t.raw = cq__tok_u32(&t, 0, 7);
    t.bytes = cq__tok_u32(&t, 0, 8);
    t.split = cq__tok_u32(&t, 0, 9);
    t.flags = cq__tok_u32(&t, 0, 10);
    if (t.vocab > INT32_MAX || !cq__tok_place(&t) || t.size != cq__tok_u32(&t, 0, 2) || t.size > size)
        return cq__tok_bad(err, "tokenizer blob: its counts do not agree with its size", 8, cq__tok_u32(&t, 0, 2));
    if (t.raw > t.added) return cq__tok_bad(err, "tokenizer blob: more raw added tokens than added tokens", 28, t.raw);
    if (!cq__split_rule_of(t.split) || t.flags > 3 || cq__tok_u32(&t, 0, 11) != 0)
        return cq_fail_at(err, CQ_ERR_UNSUPPORTED, "tokenizer blob: its rule or flags are not known here", NULL, 0,
                          36, (int64_t)t.split);
    status = cq__tok_check_tokens(&t, err);
    if (!status) status = cq__tok_check_merges(&t, err);
    if (!status) status = cq__tok_check_added(&t, err);
    if (!status) *tok = t;
    return status;
}

/* The id of a piece or token by its bytes; CQ__TOK_NONE. */
static uint32_t cq__tok_lookup(const cq_tokenizer *t, const unsigned char *s, size_t n) {
    size_t lo = 0, hi = t->indexed;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2, m;
        uint32_t id = cq__tok_u32(t, t->at_index, mid);
        const unsigned char *text = cq__tok_text(t, id, &m);
        int order = cq__tok_compare(text, m, s, n);
        if (order == 0) return id;
        if (order < 0) lo = mid + 1;
        else hi = mid;
    }
    return CQ__TOK_NONE;
}

/* 2 Added tokens: the first place in s[*at .. n) where one of added[first .. end) stands, the longest of them.
   They are in order, so those that start with the k bytes read so far are neighbours, with the one of exactly k bytes
   first: each further byte narrows the range. Returns its number and its place in *at; CQ__TOK_NONE. */
static uint32_t cq__tok_find_added(const cq_tokenizer *t, size_t first, size_t end, const unsigned char *s, size_t n,
                                   size_t *at) {
    size_t pos;
    for (pos = *at; pos < n && first < end; pos++) {
        size_t lo = first, hi = end, k, len;
        uint32_t found = CQ__TOK_NONE;
        for (k = 0; pos + k < n && lo < hi; k++) {
            unsigned bound;
            size_t edge[2]; /* of the range with byte s[pos + k] at k: [first not below it, first above it) */
            for (bound = 0; bound < 2; bound++) {
                size_t a = lo, b = hi;
                while (a < b) {
                    size_t mid = a + (b - a) / 2;
                    const unsigned char *text = cq__tok_added(t, mid, &len);
                    unsigned key = len > k ? text[k] + 1u : 0u; /* shorter ones come first */
                    if (key < s[pos + k] + 1u + bound) a = mid + 1;
                    else b = mid;
                }
                edge[bound] = a;
            }
            lo = edge[0];
            hi = edge[1];
            if (lo == hi) break;
            cq__tok_added(t, lo, &len);
            if (len == k + 1) found = (uint32_t)lo;
        }
        if (found != CQ__TOK_NONE) return *at = pos, found;
    }
    return *at = n, CQ__TOK_NONE;
}

/* -------------------------------------------------------------------------------------------------------------------
   5 BPE. Start with one token a byte. As long as a neighbouring pair has a rank: join the pair of lowest rank, of
   several the leftmost. Done naively that is quadratic, and one piece may be a megabyte of letters. Here a tournament:
   pairs are the leaves of a binary tree, each inner node holds the better of its two children, node 1 the best of all;
   joining changes three pairs, each log n matches.

       node 1                  b a n a n a           ranks: (a n) 0, (an a) 1
       2     3                 b [an] [an] a         each pair is named by its left token
       4 5 6 7 ... leaves      b [an] [ana]
   ------------------------------------------------------------------------------------------------------------------ */
typedef struct cq__bpe {
    const cq_tokenizer *t;
    uint32_t n;      /* tokens at the start; also "no neighbour" */
    uint32_t *id;    /* (n) token that starts at byte i */
    uint32_t *prev;  /* (n) start of the token before, n: none */
    uint32_t *next;  /* (n) start of the token behind, n: none */
    uint32_t *rank;  /* (n) rank of the pair (i, next[i]); CQ__TOK_NONE: no pair */
    uint32_t *joined; /* (n) what that pair becomes */
    uint32_t *node;  /* (n) node[1 .. n): winners; the leaf of pair i is node n + i, not stored */
} cq__bpe;

#define CQ__BPE_SCRATCH 24u /* bytes of scratch for each byte of a piece: the six arrays above */

static void cq__bpe_pair(cq__bpe *b, uint32_t i) { /* finds rank[i] and joined[i] */
    const cq_tokenizer *t = b->t;
    b->rank[i] = CQ__TOK_NONE;
    if (b->next[i] != b->n) {
        uint32_t right = b->id[b->next[i]];
        size_t lo = cq__tok_u32(t, t->at_first, b->id[i]), hi = cq__tok_u32(t, t->at_first, (size_t)b->id[i] + 1);
        while (lo < hi) {
            size_t mid = lo + (hi - lo) / 2;
            uint32_t r = cq__tok_u32(t, t->at_merge, 3 * mid);
            if (r == right) {
                b->rank[i] = cq__tok_u32(t, t->at_merge, 3 * mid + 1);
                b->joined[i] = cq__tok_u32(t, t->at_merge, 3 * mid + 2);
                return;
            }
            if (r < right) lo = mid + 1;
            else hi = mid;
        }
    }
}

static void cq__bpe_match(cq__bpe *b, uint32_t node) { /* plays one match: lower rank wins, then the left one */
    uint32_t x = 2 * node, y = x + 1;
    x = x < b->n ? b->node[x] : x - b->n;
    y = y < b->n ? b->node[y] : y - b->n;
    b->node[node] = b->rank[x] < b->rank[y] || (b->rank[x] == b->rank[y] && x < y) ? x : y;
}

static void cq__bpe_update(cq__bpe *b, uint32_t i) { /* rank[i] has changed: all matches on its way to the top */
    uint32_t node;
    for (node = (b->n + i) / 2; node > 0; node /= 2) cq__bpe_match(b, node);
}

static void cq__bpe_run(cq__bpe *b, const unsigned char *s) {
    uint32_t i;
    for (i = 0; i < b->n; i++) {
        b->id[i] = cq__tok_u32(b->t, b->t->at_byte, s[i]);
        b->prev[i] = i ? i - 1 : b->n;
        b->next[i] = i + 1;
    }
    for (i = 0; i < b->n; i++) cq__bpe_pair(b, i);
    for (i = b->n - 1; i > 0; i--) cq__bpe_match(b, i);
    for (;;) {
        uint32_t gone, before;
        i = b->node[1];
        if (b->rank[i] == CQ__TOK_NONE) return;
        gone = b->next[i];
        before = b->prev[i];
        b->id[i] = b->joined[i];
        b->next[i] = b->next[gone];
        if (b->next[i] != b->n) b->prev[b->next[i]] = i;
        b->rank[gone] = CQ__TOK_NONE;
        cq__bpe_update(b, gone);
        cq__bpe_pair(b, i);
        cq__bpe_update(b, i);
        if (before != b->n) {
            cq__bpe_pair(b, before);
            cq__bpe_update(b, before);
        }
    }
}

typedef struct cq__encoder {
    const cq_tokenizer *t;
    const cq__split_rule *rule;
    int32_t *ids;
    size_t max, count;
    cq_arena *scratch;
    cq_error *err;
} cq__encoder;

static void cq__encode_id(cq__encoder *e, uint32_t id) {
    if (e->count < e->max) e->ids[e->count] = (int32_t)id;
    e->count++;
}

static cq_status cq__encode_piece(cq__encoder *e, const unsigned char *s, size_t n) {
    size_t used = e->scratch->used;
    uint32_t *words, i;
    cq__bpe b;
    if (n == 1) return cq__encode_id(e, cq__tok_u32(e->t, e->t->at_byte, s[0])), CQ_OK;
    if (e->t->flags & CQ__TOK_IGNORE_MERGES) {
        uint32_t id = cq__tok_lookup(e->t, s, n);
        if (id != CQ__TOK_NONE) return cq__encode_id(e, id), CQ_OK;
    }
    words = (uint32_t *)cq_alloc(e->scratch, n, CQ__BPE_SCRATCH);
    if (!words)
        return cq_fail_at(e->err, CQ_ERR_MEMORY, "tokenizer: scratch too small for a piece of so many bytes", NULL,
                          0, UINT64_MAX, (int64_t)n);
    b.t = e->t;
    b.n = (uint32_t)n;
    b.id = words;
    b.prev = words + n;
    b.next = words + 2 * n;
    b.rank = words + 3 * n;
    b.joined = words + 4 * n;
    b.node = words + 5 * n;
    cq__bpe_run(&b, s);
    for (i = 0; i != b.n; i = b.next[i]) cq__encode_id(e, b.id[i]);
    e->scratch->used = used;
    return CQ_OK;
}

/* Text between raw added tokens: normalise, look for the added tokens that stand in normalised text, cut the rest. */
static cq_status cq__encode_part(cq__encoder *e, const unsigned char *s, size_t n, size_t where) {
    size_t used = e->scratch->used, pos = 0;
    cq_status status = CQ_OK;
#ifdef CQUANT_ASCII_ONLY
    size_t i;
    for (i = 0; i < n; i++)
        if (s[i] >= 0x80)
            return cq_fail_at(e->err, CQ_ERR_UNSUPPORTED,
                              "tokenizer: only ASCII is encoded; build without CQUANT_ASCII_ONLY for the rest (byte)",
                              NULL, 0, where + i, s[i]);
#else
    (void)where;
    if (e->t->flags & CQ__TOK_NFC) status = cq__nfc(&s, &n, e->scratch, e->err);
#endif
    while (!status && pos < n) {
        size_t at = pos, len;
        uint32_t added = cq__tok_find_added(e->t, e->t->raw, e->t->added, s, n, &at);
        while (!status && pos < at) {
            len = cq__split(e->rule, s + pos, at - pos);
            status = cq__encode_piece(e, s + pos, len);
            pos += len;
        }
        if (status || added == CQ__TOK_NONE) break;
        cq__tok_added(e->t, added, &len);
        cq__encode_id(e, cq__tok_u32(e->t, e->t->at_added, 4 * (size_t)added + 2));
        pos = at + len;
    }
    e->scratch->used = used;
    return status;
}

#define CQ__TOK_MAX_TEXT ((size_t)INT32_MAX / 128) /* 16 MiB: keeps every size below in 31 bits */

CQUANT_DEF size_t cq_tokenizer_encode_bound(const cq_tokenizer *tok, size_t len) {
    /* In the worst case every byte is replaced by 3 (not UTF-8) or NFC makes 3 of 1: 6 for these copies; then either
       the code points of one run of marks (32 bytes for each of at most len) or one piece of all of them, 3 * 24. */
    (void)tok;
    return len > CQ__TOK_MAX_TEXT ? SIZE_MAX : len * (6 + 3 * CQ__BPE_SCRATCH) + 4 * CQ_ALIGN;
}

CQUANT_DEF cq_status cq_tokenizer_encode(const cq_tokenizer *tok, const char *text, size_t len, int32_t *ids,
                                         size_t max_ids, size_t *count, cq_arena *scratch, cq_error *err) {
    cq__encoder e;
    cq__utf8 u;
    const unsigned char *s = (const unsigned char *)text;
    size_t used, pos = 0, n = len;
    cq_status status = CQ_OK;
    if (!tok || !count || !scratch || (!text && len) || (!ids && max_ids))
        return cq_fail(err, CQ_ERR_ARG, "cq_tokenizer_encode: tok, text, count and scratch must not be NULL");
    *count = 0;
    if (!scratch->base || scratch->failed)
        return cq_fail(err, CQ_ERR_ARG, "cq_tokenizer_encode: scratch must be an arena with memory, not failed");
    if (len > CQ__TOK_MAX_TEXT)
        return cq_fail_at(err, CQ_ERR_RANGE, "tokenizer: encode at most 16777215 bytes a call", NULL, 0, UINT64_MAX,
                          (int64_t)len);
    used = scratch->used;
    e.t = tok;
    e.rule = cq__split_rule_of(tok->split);
    e.ids = ids;
    e.max = max_ids;
    e.count = 0;
    e.scratch = scratch;
    e.err = err;

    cq__utf8_start(&u, NULL, 0); /* the machine runs twice: to count, and if something is replaced, to copy */
    cq__utf8_copy(&u, s, n);
    cq__utf8_end(&u);
    if (u.bad) {
        char *copy = (char *)cq_alloc(scratch, u.used, 1);
        if (!copy) {
            status = cq_fail(err, CQ_ERR_MEMORY, "tokenizer: scratch too small for a copy of invalid UTF-8");
        } else {
            n = u.used;
            cq__utf8_start(&u, copy, n);
            cq__utf8_copy(&u, (const unsigned char *)text, len);
            cq__utf8_end(&u);
            s = (const unsigned char *)copy;
        }
    }
    while (!status && pos < n) {
        size_t at = pos, size;
        uint32_t added = cq__tok_find_added(tok, 0, tok->raw, s, n, &at);
        status = cq__encode_part(&e, s + pos, at - pos, pos);
        if (status || added == CQ__TOK_NONE) break;
        cq__tok_added(tok, added, &size);
        cq__encode_id(&e, cq__tok_u32(tok, tok->at_added, 4 * (size_t)added + 2));
        pos = at + size;
    }
    scratch->used = used;
    scratch->failed = false; /* said by the status; what was there is given back */
    if (status) return status;
    *count = e.count;
    if (e.count > max_ids && ids)
        return cq_fail_at(err, CQ_ERR_RANGE, "tokenizer: there is not room for so many ids", NULL, 0, UINT64_MAX,
                          (int64_t)e.count);
    return CQ_OK;
}

CQUANT_DEF size_t cq_tokenizer_decode(const cq_tokenizer *tok, const int32_t *ids, size_t n, char *out, size_t size) {
    cq__utf8 u;
    size_t i, len;
    cq__utf8_start(&u, out, size);
    for (i = 0; i < n; i++) {
        if (ids[i] >= 0 && (uint32_t)ids[i] < tok->vocab) {
            const unsigned char *s = cq__tok_text(tok, (uint32_t)ids[i], &len);
            cq__utf8_copy(&u, s, len);
        }
    }
    cq__utf8_end(&u);
    return u.used;
}

CQUANT_DEF int32_t cq_tokenizer_id(const cq_tokenizer *tok, const char *token, size_t len) {
    const unsigned char *s = (const unsigned char *)token;
    size_t i, n;
    uint32_t id;
    for (i = 0; i < tok->added; i++) {
        const unsigned char *text = cq__tok_added(tok, i, &n);
        if (!cq__tok_compare(text, n, s, len)) return (int32_t)cq__tok_u32(tok, tok->at_added, 4 * i + 2);
    }
    id = cq__tok_lookup(tok, s, len);
    return id == CQ__TOK_NONE ? -1 : (int32_t)id;
}

CQUANT_DEF bool cq_tokenizer_is_special(const cq_tokenizer *tok, int32_t id) {
    size_t i;
    for (i = 0; i < tok->added; i++)
        if (id >= 0 && cq__tok_u32(tok, tok->at_added, 4 * i + 2) == (uint32_t)id)
            return cq__tok_u32(tok, tok->at_added, 4 * i + 3) != 0;
    return false;
}

/* -------------------------------------------------------------------------------------------------------------------
   Building the blob from the files, on a host.

   GPT-2's files write bytes as characters: printable Latin-1 stands for itself, the k-th of the other 68 bytes is
   U+0100 + k; so a space is U+0120. A token with any other character is kept as it is, as tokenizers does; it can be an
   added token, but no text becomes it through merges.
   ------------------------------------------------------------------------------------------------------------------ */
#define CQ__TOK_HOLES 65536u /* ids may exceed the number of tokens by so many */
#define CQ__TOK_PLAIN 1u     /* kinds of tokens: written in the characters of bytes */
#define CQ__TOK_MODEL 2u     /* in the vocabulary of the model */
#define CQ__TOK_ADDED 4u     /* among the added tokens */

typedef struct cq__tok_builder {
    const cq_tokenizer_files *files;
    cq_json main, config; /* tokenizer.json or vocab.json; tokenizer_config.json */
    bool slow;            /* from vocab.json, merges.txt and tokenizer_config.json */
    uint32_t vocab_node, merges_node, added_node; /* added_node: in config if slow */
    /* how much there is; for the size query, how much there can be */
    uint64_t vocab, merges, added, pool, merge_len;
    /* memory: cq__tok_room */
    char *text;             /* (pool) texts of tokens and contents of added tokens, in the order of the files */
    uint32_t *begin, *len;  /* (vocab) text of a token; len CQ__TOK_NONE: no such token */
    unsigned char *kind;    /* (vocab) CQ__TOK_PLAIN ... */
    uint32_t *index;        /* (vocab) */
    uint32_t *added_row;    /* (added, 4) as in the blob */
    uint32_t *added_order;  /* (added) */
    char *merge;            /* (merge_len) one merge */
    uint32_t *left, *right, *joined, *order, *order2; /* (merges) */
    uint32_t *sum;          /* (vocab + 1) */
    unsigned char *blob;
    size_t used; /* of text */
    cq_tokenizer t;
    cq_error *err;
} cq__tok_builder;

/* All memory of a build in one place: for the build, and, with the arena empty, for its bound. */
static bool cq__tok_room(cq__tok_builder *b, cq_arena *arena) {
    size_t vocab = (size_t)b->vocab, merges = (size_t)b->merges, added = (size_t)b->added;
    b->t.vocab = b->t.indexed = (uint32_t)b->vocab;
    b->t.merges = (uint32_t)b->merges;
    b->t.added = (uint32_t)b->added;
    b->t.bytes = (uint32_t)b->pool + 4;
    if (b->vocab > INT32_MAX || b->merges > INT32_MAX || b->added > INT32_MAX || b->pool > INT32_MAX ||
        b->merge_len > INT32_MAX || !cq__tok_place(&b->t)) {
        arena->failed = true;
        return false;
    }
    b->text = (char *)cq_alloc(arena, (size_t)b->pool + 1, 1);
    b->begin = (uint32_t *)cq_alloc(arena, vocab + 1, 4);
    b->len = (uint32_t *)cq_alloc(arena, vocab + 1, 4);
    b->kind = (unsigned char *)cq_alloc(arena, vocab + 1, 1);
    b->index = (uint32_t *)cq_alloc(arena, vocab + 1, 4);
    b->added_row = (uint32_t *)cq_alloc(arena, added + 1, 16);
    b->added_order = (uint32_t *)cq_alloc(arena, added + 1, 4);
    b->merge = (char *)cq_alloc(arena, (size_t)b->merge_len + 1, 1);
    b->left = (uint32_t *)cq_alloc(arena, merges + 1, 4);
    b->right = (uint32_t *)cq_alloc(arena, merges + 1, 4);
    b->joined = (uint32_t *)cq_alloc(arena, merges + 1, 4);
    b->order = (uint32_t *)cq_alloc(arena, merges + 1, 4);
    b->order2 = (uint32_t *)cq_alloc(arena, merges + 1, 4);
    b->sum = (uint32_t *)cq_alloc(arena, vocab + 1, 4);
    b->blob = (unsigned char *)cq_alloc(arena, b->t.size, 1);
    return !arena->failed;
}

static bool cq__tok_absent(const cq_json *j, uint32_t node) { return !node || cq_json_is_null(j, node); }

static bool cq__tok_flag(const cq_json *j, uint32_t object, const char *key, bool absent) {
    uint32_t node = cq_json_find(j, object, key);
    if (node) cq_json_bool(j, node, &absent);
    return absent;
}

/* A part of tokenizer.json that is not followed: its first bytes are the name in the error. */
static cq_status cq__tok_refuse(cq__tok_builder *b, const cq_json *j, uint32_t node, const char *what) {
    const cq_json_node *x = &j->nodes[node];
    size_t n = x->end - x->begin;
    return cq_fail_at(b->err, CQ_ERR_UNSUPPORTED, what, j->text + x->begin, n > 200 ? 200 : n, x->begin, INT64_MIN);
}

static cq_status cq__tok_wrong(cq__tok_builder *b, const cq_json *j, uint32_t node, const char *what, int64_t got) {
    const cq_json_node *x = &j->nodes[node];
    return cq_fail_at(b->err, CQ_ERR_FORMAT, what, j->text + x->begin, x->end - x->begin, x->begin, got);
}

static cq_status cq__tok_missing(cq__tok_builder *b, const char *what) {
    return cq_fail(b->err, CQ_ERR_MISSING, what);
}

static bool cq__tok_type(const cq_json *j, uint32_t node, const char *type) {
    uint32_t found = cq_json_find(j, node, "type");
    return found && cq_json_string_eq(j, found, type);
}

static cq_status cq__tok_read_model(cq__tok_builder *b, uint32_t model) {
    static const char *const affix[2] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const cq_json *j = &b->main;
    uint32_t node = cq_json_find(j, model, "type"), i;
    float dropout = 0.0f;
    if (node && !cq_json_string_eq(j, node, "BPE"))
        return cq__tok_refuse(b, j, node, "tokenizer.json: a model of this type; byte-level BPE is");
    for (i = 0; i < 2; i++) {
        node = cq_json_find(j, model, affix[i]);
        if (!cq__tok_absent(j, node) && !cq_json_string_eq(j, node, ""))
            return cq__tok_refuse(b, j, node, "tokenizer.json: a prefix or suffix of subwords; none is supported");
    }
    node = cq_json_find(j, model, "dropout");
    if (!cq__tok_absent(j, node) && (!cq_json_float(j, node, &dropout) || dropout < 0.0f || dropout > 0.0f))
        return cq__tok_refuse(b, j, node, "tokenizer.json: dropout of merges; null is supported");
    if (cq__tok_flag(j, model, "byte_fallback", false))
        return cq__tok_refuse(b, j, cq_json_find(j, model, "byte_fallback"),
                              "tokenizer.json: byte_fallback (SentencePiece); byte-level BPE is supported");
    if (cq__tok_flag(j, model, "ignore_merges", false)) b->t.flags |= CQ__TOK_IGNORE_MERGES;
    b->vocab_node = cq_json_find(j, model, "vocab");
    b->merges_node = cq_json_find(j, model, "merges");
    if (!b->vocab_node || cq_json_kind(j, b->vocab_node) != CQ_JSON_OBJECT)
        return cq__tok_missing(b, "tokenizer.json: model.vocab must be an object");
    if (!b->merges_node || cq_json_kind(j, b->merges_node) != CQ_JSON_ARRAY)
        return cq__tok_missing(b, "tokenizer.json: model.merges must be an array");
    return CQ_OK;
}

static cq_status cq__tok_read_normalizer(cq__tok_builder *b, uint32_t node) {
    const cq_json *j = &b->main;
    uint32_t c = cq_json_child(j, cq_json_find(j, node, "normalizers")), each = node;
    if (cq__tok_absent(j, node)) return CQ_OK;
    if (cq__tok_type(j, node, "Sequence")) {
        if (cq__tok_absent(j, cq_json_find(j, node, "normalizers"))) c = 0;
        each = c;
    }
    for (; each; each = each == node ? 0 : cq_json_next(j, each)) {
        if (!cq__tok_type(j, each, "NFC"))
            return cq__tok_refuse(b, j, each, "tokenizer.json: this normalizer; NFC and none are supported");
        b->t.flags |= CQ__TOK_NFC;
    }
    return CQ_OK;
}

static cq_status cq__tok_read_split(cq__tok_builder *b, uint32_t node) {
    const cq_json *j = &b->main;
    const char *what = "tokenizer.json: this pre_tokenizer; ByteLevel, or a Split and then ByteLevel are supported";
    uint32_t level = node, regex = 0;
    size_t i;
    bool alone = true;
    if (cq__tok_absent(j, node)) return cq__tok_missing(b, "tokenizer.json: a pre_tokenizer is needed");
    if (cq__tok_type(j, node, "Sequence")) {
        uint32_t list = cq_json_find(j, node, "pretokenizers"), split = list ? cq_json_child(j, list) : 0, behavior;
        bool invert;
        level = split ? cq_json_next(j, split) : 0;
        if (!level || cq_json_next(j, level) || !cq__tok_type(j, split, "Split"))
            return cq__tok_refuse(b, j, node, what);
        behavior = cq_json_find(j, split, "behavior");
        invert = cq__tok_flag(j, split, "invert", false);
        regex = cq_json_path(j, split, "pattern.Regex");
        /* as every character is in some match, to remove what is not matched is to isolate what is */
        if (!regex || !behavior || !cq_json_string_eq(j, behavior, invert ? "Removed" : "Isolated"))
            return cq__tok_refuse(b, j, split, "tokenizer.json: this Split; a Regex, Isolated, is supported");
        alone = false;
    }
    if (!cq__tok_type(j, level, "ByteLevel")) return cq__tok_refuse(b, j, level, what);
    if (cq__tok_flag(j, level, "add_prefix_space", true))
        return cq__tok_refuse(b, j, level, "tokenizer.json: add_prefix_space; only false is supported");
    if (cq__tok_flag(j, level, "use_regex", true) != alone) return cq__tok_refuse(b, j, node, what);
    b->t.split = alone ? 3 : 0; /* ByteLevel's own expression is GPT-2's */
    for (i = 0; regex && i < sizeof cq__split_rules / sizeof cq__split_rules[0]; i++)
        if (cq_json_string_eq(j, regex, cq__split_rules[i].regex)) b->t.split = cq__split_rules[i].number;
    if (!b->t.split)
        return cq__tok_refuse(b, j, regex,
                              "tokenizer.json: this expression; those of Qwen2, Llama-3 and GPT-2 are supported");
    return CQ_OK;
}

static cq_status cq__tok_read_fast(cq__tok_builder *b) {
    const cq_json *j = &b->main;
    uint32_t model = cq_json_find(j, 0, "model"), decoder = cq_json_find(j, 0, "decoder");
    cq_status status;
    if (cq__tok_absent(j, model)) return cq__tok_missing(b, "tokenizer.json: model is needed");
    status = cq__tok_read_model(b, model);
    if (!status) status = cq__tok_read_normalizer(b, cq_json_find(j, 0, "normalizer"));
    if (!status) status = cq__tok_read_split(b, cq_json_find(j, 0, "pre_tokenizer"));
    if (status) return status;
    if (cq__tok_absent(j, decoder)) return cq__tok_missing(b, "tokenizer.json: a decoder is needed, ByteLevel");
    if (!cq__tok_type(j, decoder, "ByteLevel"))
        return cq__tok_refuse(b, j, decoder, "tokenizer.json: this decoder; ByteLevel is supported");
    b->added_node = cq_json_find(j, 0, "added_tokens");
    if (b->added_node && cq_json_kind(j, b->added_node) != CQ_JSON_ARRAY)
        return cq__tok_wrong(b, j, b->added_node, "tokenizer.json: added_tokens must be an array", INT64_MIN);
    return CQ_OK;
}

/* The slow tokenizers hold their rules in Python: what each class does is known here by its name. */
static cq_status cq__tok_read_slow(cq__tok_builder *b) {
    static const struct {
        const char *name;
        uint32_t split, flags;
    } classes[5] = {{"DreamTokenizer", 1, CQ__TOK_NFC},
                    {"Qwen2Tokenizer", 1, CQ__TOK_NFC},
                    {"Qwen2TokenizerFast", 1, CQ__TOK_NFC},
                    {"GPT2Tokenizer", 3, 0},
                    {"GPT2TokenizerFast", 3, 0}};
    const cq_json *j = &b->config;
    uint32_t name = cq_json_find(j, 0, "tokenizer_class");
    size_t i;
    if (cq__tok_absent(j, name)) return cq__tok_missing(b, "tokenizer_config.json: tokenizer_class is needed");
    for (i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (!cq_json_string_eq(j, name, classes[i].name)) continue;
        b->t.split = classes[i].split;
        b->t.flags = classes[i].flags;
    }
    if (!b->t.split)
        return cq__tok_refuse(b, j, name,
                              "tokenizer_config.json: this tokenizer_class without tokenizer.json; DreamTokenizer, "
                              "Qwen2Tokenizer and GPT2Tokenizer are supported");
    if (cq__tok_flag(j, 0, "add_prefix_space", false))
        return cq__tok_refuse(b, j, cq_json_find(j, 0, "add_prefix_space"),
                              "tokenizer_config.json: add_prefix_space; only false is supported");
    b->added_node = cq_json_find(j, 0, "added_tokens_decoder");
    if (!b->added_node || cq_json_kind(j, b->added_node) != CQ_JSON_OBJECT)
        return cq__tok_missing(b, "tokenizer_config.json: added_tokens_decoder must be an object");
    if (cq_json_kind(&b->main, 0) != CQ_JSON_OBJECT)
        return cq__tok_wrong(b, &b->main, 0, "vocab.json: must be an object", INT64_MIN);
    return CQ_OK;
}

/* An entry of added_tokens ({"id": 5, "content": ...}) or of added_tokens_decoder ("5": {"content": ...}). */
static cq_status cq__tok_added_entry(cq__tok_builder *b, uint32_t node, uint32_t *object, int64_t *id) {
    const cq_json *j = b->slow ? &b->config : &b->main;
    *id = -1;
    *object = node;
    if (b->slow) {
        char digits[12];
        size_t n = cq_json_unescape(j, node, digits, sizeof digits), i;
        for (i = 0; i < n && n < 10; i++) {
            if (digits[i] < '0' || digits[i] > '9') {
                *id = -1;
                break;
            }
            *id = (i ? *id * 10 : 0) + (digits[i] - '0');
        }
        *object = cq_json_child(j, node);
    } else {
        uint32_t value = cq_json_find(j, node, "id");
        if (value) cq_json_int(j, value, id);
    }
    return *id < 0 ? cq__tok_wrong(b, j, node, "tokenizer: this added token needs an id, 0 or more", INT64_MIN) : CQ_OK;
}

/* Counts: how many ids, merges and added tokens, and how long a merge can be. */
static cq_status cq__tok_measure(cq__tok_builder *b) {
    const cq_json *j = &b->main, *aj = b->slow ? &b->config : j;
    uint64_t tokens = 0, top = 0;
    uint32_t c, object, worst = 0;
    int64_t id;
    b->added = b->merges = b->merge_len = 0;
    for (c = cq_json_child(j, b->vocab_node); c; c = cq_json_next(j, c)) {
        if (!cq_json_int(j, cq_json_child(j, c), &id) || id < 0)
            return cq__tok_wrong(b, j, c, "vocabulary: the id of this token is no integer of 0 or more", INT64_MIN);
        if ((uint64_t)id >= top) top = (uint64_t)id + 1, worst = c;
        tokens++;
    }
    for (c = b->added_node ? cq_json_child(aj, b->added_node) : 0; c; c = cq_json_next(aj, c)) {
        cq_status status = cq__tok_added_entry(b, c, &object, &id);
        if (status) return status;
        if ((uint64_t)id >= top) top = (uint64_t)id + 1, worst = 0;
        tokens++;
        b->added++;
    }
    if (top == 0) return cq__tok_missing(b, "tokenizer: the vocabulary is empty");
    if (top > tokens + CQ__TOK_HOLES)
        return cq_fail_at(b->err, CQ_ERR_RANGE, "tokenizer: this id is more than 65536 beyond the number of tokens",
                          worst ? j->text + j->nodes[worst].begin : NULL,
                          worst ? j->nodes[worst].end - j->nodes[worst].begin : 0, UINT64_MAX, (int64_t)(top - 1));
    b->vocab = top;
    if (b->slow) {
        size_t i, start = 0;
        for (i = 0; i <= b->files->merges_txt_len; i++) {
            if (i < b->files->merges_txt_len && b->files->merges_txt[i] != '\n') continue;
            b->merges++;
            if (i - start > b->merge_len) b->merge_len = i - start;
            start = i + 1;
        }
    } else {
        for (c = cq_json_child(j, b->merges_node); c; c = cq_json_next(j, c)) {
            uint32_t n = j->nodes[c].end - j->nodes[c].begin;
            b->merges++;
            if (n > b->merge_len) b->merge_len = n;
        }
    }
    return CQ_OK;
}

/* Characters to bytes in place, *n the new length. False, and nothing changed, if one of them stands for no byte. */
static bool cq__tok_to_bytes(char *text, size_t *n) {
    unsigned char *s = (unsigned char *)text;
    size_t pass, pos, out = 0;
    for (pass = 0; pass < 2; pass++) {
        for (pos = 0; pos < *n;) {
            uint32_t c = cq__utf8_next(s, &pos), byte;
            if (c - 0x21 < 94u || c - 0xa1 < 12u || c - 0xae < 82u) byte = c;
            else if (c - 0x100 < 33u) byte = c - 0x100;        /* 00 - 20 */
            else if (c - 0x121 < 34u) byte = c - 0x121 + 0x7f; /* 7F - A0 */
            else if (c == 0x143) byte = 0xad;
            else return false;
            if (pass) s[out++] = (unsigned char)byte;
        }
    }
    *n = out;
    return true;
}

/* The string of a node, behind the texts so far; checked to be UTF-8. */
static cq_status cq__tok_string(cq__tok_builder *b, const cq_json *j, uint32_t node, char **s, size_t *n) {
    size_t room = (size_t)b->pool - b->used;
    *s = b->text + b->used;
    *n = cq_json_unescape(j, node, *s, room);
    if (*n > room || !cq__utf8_valid((const unsigned char *)*s, *n))
        return cq__tok_wrong(b, j, node, "tokenizer: this string is not UTF-8", INT64_MIN);
    return CQ_OK;
}

/* Makes the string that cq__tok_string has just read the text of a token. */
static void cq__tok_keep(cq__tok_builder *b, uint32_t id, char *s, size_t n) {
    b->kind[id] = (unsigned char)(cq__tok_to_bytes(s, &n) ? CQ__TOK_PLAIN : 0u);
    b->begin[id] = (uint32_t)b->used;
    b->len[id] = (uint32_t)n;
    b->used += n;
}

static cq_status cq__tok_read_vocab(cq__tok_builder *b) {
    const cq_json *j = &b->main;
    uint32_t c, i;
    for (i = 0; i < b->vocab; i++) b->len[i] = CQ__TOK_NONE;
    for (c = cq_json_child(j, b->vocab_node); c; c = cq_json_next(j, c)) {
        int64_t id = 0;
        char *s;
        size_t n;
        cq_json_int(j, cq_json_child(j, c), &id); /* checked by cq__tok_measure */
        if (cq__tok_string(b, j, c, &s, &n)) return CQ_ERR_FORMAT;
        if (b->len[id] != CQ__TOK_NONE)
            return cq__tok_wrong(b, j, c, "vocabulary: the id of this token is another one's too", id);
        cq__tok_keep(b, (uint32_t)id, s, n);
        b->kind[id] |= CQ__TOK_MODEL;
    }
    return CQ_OK;
}

static cq_status cq__tok_read_added(cq__tok_builder *b) {
    static const char *const strict[3] = {"single_word", "lstrip", "rstrip"};
    const cq_json *j = b->slow ? &b->config : &b->main;
    uint32_t c, object, row = 0, k;
    for (c = b->added_node ? cq_json_child(j, b->added_node) : 0; c; c = cq_json_next(j, c)) {
        uint32_t content, *out = b->added_row + 4 * (size_t)row, known;
        bool special, normalized;
        int64_t id;
        char *s;
        size_t n, i;
        if (cq__tok_added_entry(b, c, &object, &id)) return CQ_ERR_FORMAT;
        content = cq_json_find(j, object, "content");
        if (!content || cq_json_kind(j, content) != CQ_JSON_STRING)
            return cq__tok_wrong(b, j, c, "tokenizer: this added token needs a content, a string", id);
        for (k = 0; k < 3; k++)
            if (cq__tok_flag(j, object, strict[k], false))
                return cq__tok_refuse(b, j, object, "tokenizer: an added token with single_word, lstrip or rstrip");
        special = cq__tok_flag(j, object, "special", false);
        normalized = cq__tok_flag(j, object, "normalized", !special);
        if (cq__tok_string(b, j, content, &s, &n)) return CQ_ERR_FORMAT;
        for (i = 0; i < n && normalized && (b->t.flags & CQ__TOK_NFC); i++)
            if ((unsigned char)s[i] >= 0x80)
                return cq__tok_refuse(b, j, object,
                                      "tokenizer: an added token beyond ASCII must not be normalized to be supported");
        if (b->kind[id] & CQ__TOK_ADDED)
            return cq__tok_wrong(b, j, object, "tokenizer: two added tokens have this id", id);
        out[0] = (uint32_t)b->used;
        out[1] = (uint32_t)n;
        out[2] = (uint32_t)id;
        out[3] = special | (normalized ? 2u : 0u); /* 2 is dropped when the rows are written in order */
        if (n > 0) b->added_order[row] = row, row++; /* tokenizers looks for no empty ones */
        b->used += n;
        if (cq__tok_string(b, j, content, &s, &n)) return CQ_ERR_FORMAT; /* once more: the text it decodes to */
        known = b->len[id];
        if (known == CQ__TOK_NONE) {
            cq__tok_keep(b, (uint32_t)id, s, n);
        } else { /* a token of the model: must be the same */
            cq__tok_to_bytes(s, &n);
            if (cq__tok_compare((unsigned char *)s, n, (unsigned char *)b->text + b->begin[id], known))
                return cq__tok_wrong(b, j, object, "tokenizer: the vocabulary has another token with this id", id);
        }
        b->kind[id] |= CQ__TOK_ADDED;
    }
    b->added = row;
    return CQ_OK;
}

static void cq__tok_set(cq__tok_builder *b, size_t section, size_t i, uint32_t x) {
    unsigned char *p = b->blob + section + 4 * i;
    p[0] = (unsigned char)(x & 0xffu);
    p[1] = (unsigned char)(x >> 8 & 0xffu);
    p[2] = (unsigned char)(x >> 16 & 0xffu);
    p[3] = (unsigned char)(x >> 24);
}

static int cq__tok_compare_ids(const void *user, uint32_t x, uint32_t y) {
    const cq__tok_builder *b = (const cq__tok_builder *)user;
    if ((b->kind[x] ^ b->kind[y]) & CQ__TOK_PLAIN) return b->kind[x] & CQ__TOK_PLAIN ? -1 : 1;
    return cq__tok_compare((const unsigned char *)b->text + b->begin[x], b->len[x],
                           (const unsigned char *)b->text + b->begin[y], b->len[y]);
}

static int cq__tok_compare_added(const void *user, uint32_t x, uint32_t y) {
    const cq__tok_builder *b = (const cq__tok_builder *)user;
    const uint32_t *r = b->added_row + 4 * (size_t)x, *q = b->added_row + 4 * (size_t)y;
    if ((r[3] & 2u) != (q[3] & 2u)) return r[3] & 2u ? 1 : -1;
    return cq__tok_compare((const unsigned char *)b->text + r[0], r[1], (const unsigned char *)b->text + q[0], q[1]);
}

/* Everything but the merges goes into the blob; after that b->t finds tokens by their bytes. */
static cq_status cq__tok_write_tokens(cq__tok_builder *b) {
    cq_tokenizer *t = &b->t;
    uint32_t i, k, at = 0, byte, count = 0;
    for (i = 0; i < t->vocab; i++)
        if (b->len[i] != CQ__TOK_NONE) b->index[count++] = i;
    cq__sort_u32(b->index, count, cq__tok_compare_ids, b);
    for (i = 1; i < count; i++)
        if (!cq__tok_compare_ids(b, b->index[i - 1], b->index[i]))
            return cq_fail_at(b->err, CQ_ERR_FORMAT, "tokenizer: two ids have the same text", NULL, 0, UINT64_MAX,
                              (int64_t)b->index[i]);
    t->indexed = t->raw = 0;
    for (i = 0; i < count; i++) /* what text can become: plain tokens of the model */
        if ((b->kind[b->index[i]] & (CQ__TOK_PLAIN | CQ__TOK_MODEL)) == (CQ__TOK_PLAIN | CQ__TOK_MODEL))
            b->index[t->indexed++] = b->index[i];
    t->added = (uint32_t)b->added;
    cq__sort_u32(b->added_order, (size_t)b->added, cq__tok_compare_added, b);
    t->bytes = ((uint32_t)b->used + 3) & ~3u; /* merges are on a multiple of 4 again */
    cq__tok_place(t);                        /* less than there is room for */
    for (i = 0; i < t->vocab; i++) {
        cq__tok_set(b, t->at_start, i, at);
        for (k = 0; b->len[i] != CQ__TOK_NONE && k < b->len[i]; k++)
            b->blob[t->at_pool + at++] = (unsigned char)b->text[b->begin[i] + k];
    }
    cq__tok_set(b, t->at_start, t->vocab, at);
    for (i = 0; i < t->indexed; i++) cq__tok_set(b, t->at_index, i, b->index[i]);
    for (i = 0; i < b->added; i++) {
        const uint32_t *r = b->added_row + 4 * (size_t)b->added_order[i];
        if (!(r[3] & 2u)) t->raw++;
        cq__tok_set(b, t->at_added, 4 * (size_t)i, at);
        cq__tok_set(b, t->at_added, 4 * (size_t)i + 1, r[1]);
        cq__tok_set(b, t->at_added, 4 * (size_t)i + 2, r[2]);
        cq__tok_set(b, t->at_added, 4 * (size_t)i + 3, r[3] & 1u);
        for (k = 0; k < r[1]; k++) b->blob[t->at_pool + at++] = (unsigned char)b->text[r[0] + k];
    }
    while (at < t->bytes) b->blob[t->at_pool + at++] = 0;
    for (byte = 0; byte < 256; byte++) {
        unsigned char one = (unsigned char)byte;
        uint32_t id = cq__tok_lookup(t, &one, 1);
        if (id == CQ__TOK_NONE && cq__tok_byte_needed(byte))
            return cq_fail_at(b->err, CQ_ERR_UNSUPPORTED,
                              "tokenizer: the vocabulary has no token for this byte; byte-level BPE needs all", NULL, 0,
                              UINT64_MAX, (int64_t)byte);
        cq__tok_set(b, t->at_byte, byte, id);
    }
    return CQ_OK;
}

/* The three ids of a merge: left is merge[0 .. n), right the m bytes behind it, joined both. */
static cq_status cq__tok_keep_merge(cq__tok_builder *b, uint32_t number, size_t n, size_t m) {
    const unsigned char *s = (const unsigned char *)b->merge;
    b->left[number] = cq__tok_lookup(&b->t, s, n);
    b->right[number] = cq__tok_lookup(&b->t, s + n, m);
    b->joined[number] = cq__tok_lookup(&b->t, s, n + m);
    if (b->left[number] == CQ__TOK_NONE || b->right[number] == CQ__TOK_NONE || b->joined[number] == CQ__TOK_NONE)
        return cq_fail_at(b->err, CQ_ERR_FORMAT, "merges: this one (from 0) names a token that is not there", NULL, 0,
                          number, INT64_MIN);
    return CQ_OK;
}

/* merge[0 .. n) is "left right" in characters; the space is where both are cut. */
static cq_status cq__tok_read_merge(cq__tok_builder *b, uint32_t number, size_t n) {
    size_t space = 0, left, right, i;
    char *s = b->merge;
    while (space < n && s[space] != ' ') space++;
    left = space;
    right = space < n ? n - space - 1 : 0;
    for (i = space + 1; i < n; i++)
        if (s[i] == ' ') right = 0;
    if (!left || !right || !cq__utf8_valid((const unsigned char *)s, n))
        return cq_fail_at(b->err, CQ_ERR_FORMAT, "merges: this one (from 0) is not a pair", NULL, 0, number, INT64_MIN);
    if (!cq__tok_to_bytes(s, &left) || !cq__tok_to_bytes(s + space + 1, &right))
        return cq_fail_at(
            b->err, CQ_ERR_UNSUPPORTED,
            "merges: this one (from 0) has characters that stand for no byte; byte-level BPE is supported", NULL, 0,
            number, INT64_MIN);
    for (i = 0; i < right; i++) s[left + i] = s[space + 1 + i];
    return cq__tok_keep_merge(b, number, left, right);
}

static cq_status cq__tok_read_merges_txt(cq__tok_builder *b, uint32_t *count) {
    static const char version[] = "#version";
    const char *text = b->files->merges_txt;
    size_t len = b->files->merges_txt_len, start, end, i, k;
    for (start = 0; start < len; start = end + 1) {
        size_t n;
        for (end = start; end < len && text[end] != '\n';) end++;
        n = end - start;
        while (n > 0 && (text[start + n - 1] == '\r' || text[start + n - 1] == ' ')) n--;
        for (k = 0; start == 0 && k < n && k < 8 && text[k] == version[k];) k++;
        if (n == 0 || (start == 0 && k == 8)) continue;
        for (i = 0; i < n; i++) b->merge[i] = text[start + i];
        if (*count >= b->merges) break; /* cannot be: measured */
        {
            cq_status status = cq__tok_read_merge(b, *count, n);
            if (status) return status;
        }
        ++*count;
    }
    return CQ_OK;
}

static cq_status cq__tok_read_merges_json(cq__tok_builder *b, uint32_t *count) {
    const cq_json *j = &b->main;
    size_t room = (size_t)b->merge_len + 1;
    uint32_t c;
    for (c = cq_json_child(j, b->merges_node); c; c = cq_json_next(j, c)) {
        cq_status status;
        size_t n = 0;
        if (cq_json_kind(j, c) == CQ_JSON_STRING) {
            n = cq_json_unescape(j, c, b->merge, room);
        } else if (cq_json_kind(j, c) == CQ_JSON_ARRAY && j->nodes[c].count == 2) {
            uint32_t left = cq_json_child(j, c), right = cq_json_next(j, left);
            n = cq_json_unescape(j, left, b->merge, room);
            if (n < room) b->merge[n++] = ' ';
            n += cq_json_unescape(j, right, b->merge + n, room - n);
        }
        if (n > room) n = 0; /* cannot be: measured */
        status = cq__tok_read_merge(b, *count, n);
        if (status) return status;
        ++*count;
    }
    return CQ_OK;
}

/* Counting sort of `from` by key[from[i]] < keys; stable. */
static void cq__tok_sort_by(const uint32_t *key, uint32_t keys, const uint32_t *from, uint32_t *to, uint32_t n,
                            uint32_t *sum /* (keys + 1) */) {
    uint32_t i;
    for (i = 0; i <= keys; i++) sum[i] = 0;
    for (i = 0; i < n; i++) sum[key[i] + 1]++;
    for (i = 0; i < keys; i++) sum[i + 1] += sum[i];
    for (i = 0; i < n; i++) to[sum[key[from[i]]]++] = from[i];
}

static cq_status cq__tok_write_merges(cq__tok_builder *b) {
    cq_tokenizer *t = &b->t;
    uint32_t count = 0, i, row = 0, kept = 0;
    cq_status status = b->slow ? cq__tok_read_merges_txt(b, &count) : cq__tok_read_merges_json(b, &count);
    if (status) return status;
    for (i = 0; i < count; i++) b->order[i] = i;
    cq__tok_sort_by(b->right, t->vocab, b->order, b->order2, count, b->sum);
    cq__tok_sort_by(b->left, t->vocab, b->order2, b->order, count, b->sum);
    for (i = 0; i < count; i++) {
        uint32_t x = b->order[i], y = i + 1 < count ? b->order[i + 1] : x;
        if (x != y && b->left[x] == b->left[y] && b->right[x] == b->right[y]) continue; /* twice: the last one counts */
        while (row <= b->left[x]) cq__tok_set(b, t->at_first, row++, kept);
        cq__tok_set(b, t->at_merge, 3 * (size_t)kept, b->right[x]);
        cq__tok_set(b, t->at_merge, 3 * (size_t)kept + 1, x); /* the rank is the place in the file */
        cq__tok_set(b, t->at_merge, 3 * (size_t)kept + 2, b->joined[x]);
        kept++;
    }
    while (row <= t->vocab) cq__tok_set(b, t->at_first, row++, kept);
    t->merges = kept;
    return CQ_OK;
}

/* The JSON of the files. */
static cq_status cq__tok_parse(cq__tok_builder *b, const cq_tokenizer_files *f, cq_arena *arena, cq_error *err) {
    cq_status status;
    if (!f || (!f->tokenizer_json && !f->vocab_json))
        return cq_fail(err, CQ_ERR_MISSING, "tokenizer: tokenizer.json is needed, or vocab.json, merges.txt and "
                                            "tokenizer_config.json");
    b->files = f;
    b->err = err;
    b->slow = !f->tokenizer_json;
    b->vocab_node = b->merges_node = b->added_node = 0;
    b->t.split = b->t.flags = b->t.raw = 0;
    b->used = 0;
    if (!b->slow) {
        b->pool = f->tokenizer_json_len;
        return cq_json_parse(&b->main, f->tokenizer_json, f->tokenizer_json_len, arena, err);
    }
    if (!f->merges_txt || !f->tokenizer_config_json)
        return cq_fail(err, CQ_ERR_MISSING, "tokenizer: vocab.json needs merges.txt and tokenizer_config.json");
    b->pool = (uint64_t)f->vocab_json_len + f->tokenizer_config_json_len;
    status = cq_json_parse(&b->main, f->vocab_json, f->vocab_json_len, arena, err);
    if (!status) status = cq_json_parse(&b->config, f->tokenizer_config_json, f->tokenizer_config_json_len, arena, err);
    return status;
}

CQUANT_DEF size_t cq_tokenizer_build_bound(const cq_tokenizer_files *files) {
    cq_arena arena = cq_arena_over(NULL, 0);
    cq__tok_builder b;
    uint64_t nodes;
    cq_alloc(&arena, 1, 1);
    if (cq__tok_parse(&b, files, &arena, NULL)) return SIZE_MAX;
    nodes = (uint64_t)b.main.count + (b.slow ? b.config.count : 0);
    b.pool = 2 * b.pool; /* an added token is stored twice: as content, and as text */
    b.vocab = nodes + CQ__TOK_HOLES;
    b.added = nodes;
    b.merges = b.slow ? (uint64_t)files->merges_txt_len / 2 + 1 : nodes; /* a line has a byte and its end, at least */
    b.merge_len = b.slow ? files->merges_txt_len : files->tokenizer_json_len;
    return cq__tok_room(&b, &arena) ? arena.used : SIZE_MAX;
}

CQUANT_DEF cq_status cq_tokenizer_build(const unsigned char **blob, size_t *blob_size, const cq_tokenizer_files *files,
                                        cq_arena *arena, cq_error *err) {
    cq__tok_builder b;
    unsigned char *home;
    size_t used, i;
    cq_status status;
    if (!blob || !blob_size || !arena || !arena->base || arena->failed)
        return cq_fail(err, CQ_ERR_ARG, "cq_tokenizer_build: needs blob, blob_size and an arena with memory");
    used = arena->used;
    home = (unsigned char *)cq_alloc(arena, 1, 1); /* where the blob will lie in the end */
    status = cq__tok_parse(&b, files, arena, err);
    if (!status) status = b.slow ? cq__tok_read_slow(&b) : cq__tok_read_fast(&b);
    if (!status) status = cq__tok_measure(&b);
    if (!status) {
        b.pool = 2 * b.pool;
        if (!cq__tok_room(&b, arena))
            status = cq_fail(err, CQ_ERR_MEMORY, "tokenizer: arena too small; cq_tokenizer_build_bound gives enough");
    }
    if (!status) status = cq__tok_read_vocab(&b);
    if (!status) status = cq__tok_read_added(&b);
    if (!status) {
        b.t.blob = b.blob;
        status = cq__tok_write_tokens(&b);
    }
    if (!status) status = cq__tok_write_merges(&b);
    if (status) {
        arena->used = used;
        return status;
    }
    cq__tok_place(&b.t);
    cq__tok_set(&b, 0, 0, CQ__TOK_MAGIC);
    cq__tok_set(&b, 0, 1, 1);
    cq__tok_set(&b, 0, 2, (uint32_t)b.t.size);
    cq__tok_set(&b, 0, 3, b.t.vocab);
    cq__tok_set(&b, 0, 4, b.t.indexed);
    cq__tok_set(&b, 0, 5, b.t.merges);
    cq__tok_set(&b, 0, 6, b.t.added);
    cq__tok_set(&b, 0, 7, b.t.raw);
    cq__tok_set(&b, 0, 8, b.t.bytes);
    cq__tok_set(&b, 0, 9, b.t.split);
    cq__tok_set(&b, 0, 10, b.t.flags);
    cq__tok_set(&b, 0, 11, 0);
    for (i = 0; i < b.t.size; i++) home[i] = b.blob[i]; /* downwards: the rest of the arena is free again */
    arena->used = (size_t)(home - arena->base) + b.t.size;
    *blob = home;
    *blob_size = b.t.size;
    return CQ_OK;
}

/* ===================================================================================================================
   [LESSON 4 describing a model]
   A description is a few lines of words. It says what the tensors are called and how they are wired; the numbers come
   from config.json. Running, calibrating, rotating, quantising and exporting all read it; nothing else names a model.

       model   NAME                    the model_type of config.json
       embed   PATH                    token embedding; tensors are PATH.weight
       layers  PATH                    with # for the number of the layer
       attn    PREFIX word ...         a block: attention, x += o(attention(norm(x)))
       mlp     PREFIX word ...         a block: gated MLP,  x += down(act(gate(h)) * up(h)), h = norm(x)
       norm    PATH                    the norm before the head
       head    PATH                    lm_head; the embedding when config.json ties them
       diffusion [shift]               a masked diffusion model [row p predicts token p + 1]
       tie                             tie_word_embeddings is true unless config.json says otherwise
       kv-heads-required               num_key_value_heads has no default
       ignore  GLOB                    tensors without meaning

   Words of a block:
       pre=NAME                        the RMS norm before it, relative to the layer
       q=NAME k= v= o= / gate= up= down=   its linears, relative to PREFIX. NAME+ has a bias; NAME+KEY has one if that
                                       key of config.json is true
       q_norm=NAME k_norm=NAME         RMS norms of each head of q and k, before rope
       causal | full                   who sees whom
       window=KEY window_if=KEY window_from=KEY   keys of config.json: a sliding window of that many tokens, if the
                                       second is true, from the layer that the third names

   Statements and words with a value stand once; a layer has one attn. To add a model: copy a row, fill in the names
   from its Python class, run `make test`. An unknown word, a key without a value, a tensor that is missing, misshapen
   or not described: each is an error that names it.
   ================================================================================================================== */
static const char *const cq__archs[] = {
    "model llama\n"
    "embed model.embed_tokens\n"
    "layers model.layers.#\n"
    "attn self_attn pre=input_layernorm causal q=q_proj+attention_bias k=k_proj+attention_bias "
    "v=v_proj+attention_bias o=o_proj+attention_bias\n"
    "mlp mlp pre=post_attention_layernorm gate=gate_proj+mlp_bias up=up_proj+mlp_bias down=down_proj+mlp_bias\n"
    "norm model.norm\n"
    "head lm_head\n"
    "ignore *.rotary_emb.inv_freq\n",

    "model mistral\n"
    "embed model.embed_tokens\n"
    "layers model.layers.#\n"
    "attn self_attn pre=input_layernorm causal window=sliding_window q=q_proj k=k_proj v=v_proj o=o_proj\n"
    "mlp mlp pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "norm model.norm\n"
    "head lm_head\n"
    "kv-heads-required\n"
    "ignore *.rotary_emb.inv_freq\n",

    "model qwen2\n"
    "embed model.embed_tokens\n"
    "layers model.layers.#\n"
    "attn self_attn pre=input_layernorm causal window=sliding_window window_if=use_sliding_window "
    "window_from=max_window_layers q=q_proj+ k=k_proj+ v=v_proj+ o=o_proj\n"
    "mlp mlp pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "norm model.norm\n"
    "head lm_head\n"
    "kv-heads-required\n"
    "ignore *.rotary_emb.inv_freq\n",

    "model qwen3\n"
    "embed model.embed_tokens\n"
    "layers model.layers.#\n"
    "attn self_attn pre=input_layernorm causal window=sliding_window window_if=use_sliding_window "
    "window_from=max_window_layers q=q_proj+attention_bias k=k_proj+attention_bias v=v_proj+attention_bias "
    "o=o_proj+attention_bias q_norm=q_norm k_norm=k_norm\n"
    "mlp mlp pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "norm model.norm\n"
    "head lm_head\n"
    "kv-heads-required\n",

    "model Dream\n"
    "diffusion shift\n"
    "embed model.embed_tokens\n"
    "layers model.layers.#\n"
    "attn self_attn pre=input_layernorm full q=q_proj+ k=k_proj+ v=v_proj+ o=o_proj\n"
    "mlp mlp pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "norm model.norm\n"
    "head lm_head\n"
    "kv-heads-required\n"
    "ignore *.rotary_emb.inv_freq\n"};

CQUANT_DEF const char *cq_arch_builtin(size_t index) {
    return index < sizeof cq__archs / sizeof cq__archs[0] ? cq__archs[index] : NULL;
}

/* The one table of linears. Everything that is done to a linear follows from its row:
     group     linears of a block with one number share their input, and so one Hessian; groups run in order
     in, out   what the dimensions are
     stream_in   reads the residual stream: the norm's gain folds into it, R1 applies on the input side
     stream_out  writes the residual stream: R1 applies on the output side
     heads_out, heads_in   its output / input is made of attention heads that R2 rotates: v and o */
typedef enum cq__dim { CQ__DIM_HIDDEN, CQ__DIM_Q, CQ__DIM_KV, CQ__DIM_INTER } cq__dim;
typedef struct cq__role_row {
    const char *name;
    uint8_t kind, group, in, out; /* cq_block_kind, 0 or 1, cq__dim, cq__dim */
    bool stream_in, stream_out, heads_out, heads_in;
} cq__role_row;
static const cq__role_row cq__roles[CQ_ROLE_COUNT] = {
    {"q", CQ_BLOCK_ATTENTION, 0, CQ__DIM_HIDDEN, CQ__DIM_Q, true, false, false, false},
    {"k", CQ_BLOCK_ATTENTION, 0, CQ__DIM_HIDDEN, CQ__DIM_KV, true, false, false, false},
    {"v", CQ_BLOCK_ATTENTION, 0, CQ__DIM_HIDDEN, CQ__DIM_KV, true, false, true, false},
    {"o", CQ_BLOCK_ATTENTION, 1, CQ__DIM_Q, CQ__DIM_HIDDEN, false, true, false, true},
    {"gate", CQ_BLOCK_MLP, 0, CQ__DIM_HIDDEN, CQ__DIM_INTER, true, false, false, false},
    {"up", CQ_BLOCK_MLP, 0, CQ__DIM_HIDDEN, CQ__DIM_INTER, true, false, false, false},
    {"down", CQ_BLOCK_MLP, 1, CQ__DIM_INTER, CQ__DIM_HIDDEN, false, true, false, false}};

CQUANT_DEF const char *cq_role_name(cq_role role) { return cq__roles[role].name; }

/* ---- the reader of descriptions ---- */
static bool cq__str_eq(cq_str s, const char *literal) {
    size_t n = cq__strlen(literal);
    return s.n == n && cq__equal(s.p, literal, n);
}
static cq_str cq__str(const char *p, size_t n) {
    cq_str s;
    s.p = p;
    s.n = n;
    return s;
}

typedef struct cq__words {
    const char *text;
    size_t at, end;
} cq__words;
/* next word of the line; n = 0 at its end */
static cq_str cq__word(cq__words *w) {
    size_t begin;
    while (w->at < w->end && (w->text[w->at] == ' ' || w->text[w->at] == '\t' || w->text[w->at] == '\r')) w->at++;
    begin = w->at;
    while (w->at < w->end && w->text[w->at] != ' ' && w->text[w->at] != '\t' && w->text[w->at] != '\n' &&
           w->text[w->at] != '\r')
        w->at++;
    return cq__str(w->text + begin, w->at - begin);
}

static cq_status cq__arch_fail(cq_error *err, const char *text, cq_str word, const char *what) {
    return cq_fail_at(err, CQ_ERR_FORMAT, what, word.p, word.n, (uint64_t)(word.p - text), INT64_MIN);
}

/* one word of a block: NAME, or KEY=VALUE */
static cq_status cq__arch_block_word(cq_block_desc *b, const char *text, cq_str word, cq_error *err) {
    size_t eq = 0;
    while (eq < word.n && word.p[eq] != '=') eq++;
    cq_str key = cq__str(word.p, eq), value = cq__str(word.p + eq, 0);
    if (eq < word.n) value = cq__str(word.p + eq + 1, word.n - eq - 1);
    if (eq == word.n) {
        if (b->kind == CQ_BLOCK_ATTENTION && cq__str_eq(word, "causal")) b->causal = true;
        else if (b->kind == CQ_BLOCK_ATTENTION && cq__str_eq(word, "full")) b->full = true;
        else return cq__arch_fail(err, text, word, "unknown word in a block; see the list above the descriptions");
        return CQ_OK;
    }
    if (!value.n) return cq__arch_fail(err, text, word, "a value must follow '='");
    for (size_t r = 0; r < CQ_ROLE_COUNT; r++)
        if (cq__roles[r].kind == (uint8_t)b->kind && cq__str_eq(key, cq__roles[r].name)) {
            cq_role_desc *d = &b->role[r];
            size_t plus = 0;
            if (d->name.n) return cq__arch_fail(err, text, word, "this word stands twice in the block");
            while (plus < value.n && value.p[plus] != '+') plus++;
            d->name = cq__str(value.p, plus);
            d->bias = plus + 1 == value.n;
            if (plus + 1 < value.n) d->bias_key = cq__str(value.p + plus + 1, value.n - plus - 1);
            return d->name.n ? CQ_OK : cq__arch_fail(err, text, word, "a linear needs a name");
        }
    cq_str *to = cq__str_eq(key, "pre")           ? &b->pre
                 : b->kind != CQ_BLOCK_ATTENTION  ? NULL
                 : cq__str_eq(key, "q_norm")      ? &b->q_norm
                 : cq__str_eq(key, "k_norm")      ? &b->k_norm
                 : cq__str_eq(key, "window")      ? &b->window
                 : cq__str_eq(key, "window_if")   ? &b->window_if
                 : cq__str_eq(key, "window_from") ? &b->window_from
                                                  : NULL;
    if (!to)
        return cq__arch_fail(err, text, key, "unknown word in this kind of block; see the list above the descriptions");
    if (to->n) return cq__arch_fail(err, text, word, "this word stands twice in the block");
    *to = value;
    return CQ_OK;
}

CQUANT_DEF cq_status cq_arch_parse(cq_arch *arch, const char *text, size_t len, cq_error *err) {
    cq__words w;
    cq__fill(arch, 0, sizeof *arch);
    arch->text = cq__str(text, len);
    w.text = text;
    w.end = len;
    for (w.at = 0; w.at < len; w.at++) { /* a line a turn; w.at then stands on its newline */
        cq_str word = cq__word(&w), value;
        if (!word.n) continue;
        if (cq__str_eq(word, "attn") || cq__str_eq(word, "mlp")) {
            cq_block_desc *b = &arch->block[arch->blocks];
            if (arch->blocks == CQ_MAX_BLOCKS) return cq__arch_fail(err, text, word, "too many blocks in a layer");
            b->kind = word.n == 4 ? CQ_BLOCK_ATTENTION : CQ_BLOCK_MLP;
            for (size_t i = 0; i < arch->blocks && b->kind == CQ_BLOCK_ATTENTION; i++)
                if (arch->block[i].kind == CQ_BLOCK_ATTENTION)
                    return cq__arch_fail(err, text, word, "a layer has one attention block: it has one cache");
            b->prefix = cq__word(&w);
            if (!b->prefix.n) return cq__arch_fail(err, text, word, "a block needs the path of its module");
            for (cq_str v = cq__word(&w); v.n; v = cq__word(&w)) {
                cq_status st = cq__arch_block_word(b, text, v, err);
                if (st) return st;
            }
            if (!b->pre.n) return cq__arch_fail(err, text, word, "a block needs pre=NORM");
            if (b->kind == CQ_BLOCK_ATTENTION && b->causal == b->full)
                return cq__arch_fail(err, text, word, "attention is either causal or full");
            for (size_t r = 0; r < CQ_ROLE_COUNT; r++)
                if (cq__roles[r].kind == (uint8_t)b->kind && !b->role[r].name.n)
                    return cq_fail_at(err, CQ_ERR_FORMAT, "a block lacks this linear", cq__roles[r].name,
                                      cq__strlen(cq__roles[r].name), (uint64_t)(word.p - text), INT64_MIN);
            arch->blocks++;
            continue;
        }
        value = cq__word(&w);
        if (cq__str_eq(word, "tie") || cq__str_eq(word, "kv-heads-required")) {
            if (word.n == 3) arch->tie = true;
            else arch->heads_required = true;
        } else if (cq__str_eq(word, "diffusion")) {
            arch->diffusion = true;
            if (value.n && !cq__str_eq(value, "shift"))
                return cq__arch_fail(err, text, value, "only 'shift' may follow 'diffusion'");
            arch->shift = value.n != 0;
            value.n = 0;
        } else {
            cq_str *to = cq__str_eq(word, "model")    ? &arch->name
                         : cq__str_eq(word, "embed")  ? &arch->embed
                         : cq__str_eq(word, "layers") ? &arch->layers
                         : cq__str_eq(word, "norm")   ? &arch->norm
                         : cq__str_eq(word, "head")   ? &arch->head
                         : cq__str_eq(word, "ignore") ? &arch->ignore
                                                      : NULL;
            if (!to) return cq__arch_fail(err, text, word, "unknown statement; see the list above the descriptions");
            if (!value.n) return cq__arch_fail(err, text, word, "this statement needs a value");
            if (to->n) return cq__arch_fail(err, text, word, "this statement stands twice");
            *to = value;
            value.n = 0;
        }
        if (!value.n) value = cq__word(&w);
        if (value.n) return cq__arch_fail(err, text, value, "one word too many");
    }
    if (!arch->name.n || !arch->embed.n || !arch->layers.n || !arch->norm.n || !arch->head.n || !arch->blocks)
        return cq_fail_at(err, CQ_ERR_FORMAT,
                          "a description needs model, embed, layers, at least one block, norm and head", NULL, 0, len,
                          INT64_MIN);
    for (size_t i = 0; i < arch->layers.n; i++)
        if (arch->layers.p[i] == '#') return CQ_OK;
    return cq__arch_fail(err, text, arch->layers, "the path of the layers needs a # for their number");
}

CQUANT_DEF cq_status cq_arch_find(cq_arch *arch, const char *model_type, size_t len, cq_error *err) {
    for (size_t i = 0; cq_arch_builtin(i); i++) {
        const char *text = cq_arch_builtin(i);
        cq_status st = cq_arch_parse(arch, text, cq__strlen(text), err);
        if (st) return st;
        if (arch->name.n == len && cq__equal(arch->name.p, model_type, len)) return CQ_OK;
    }
    return cq_fail_at(err, CQ_ERR_UNSUPPORTED, "no description of this model_type; cq_arch_builtin has those there are",
                      model_type, len, UINT64_MAX, INT64_MIN);
}

/* ===================================================================================================================
   [LESSON 5 binding]  description + config.json + tensors
   ================================================================================================================== */
/* text appended to m->name, always leaving it zero-terminated; returns the new length */
static size_t cq__append(char *out, size_t size, size_t at, const char *p, size_t n) {
    for (size_t i = 0; i < n && at + 1 < size; i++) out[at++] = p[i];
    if (at < size) out[at] = 0;
    return at;
}
static size_t cq__append_number(char *out, size_t size, size_t at, size_t v) {
    char digits[24];
    size_t n = sizeof digits;
    do {
        digits[--n] = (char)('0' + (char)(v % 10));
        v /= 10;
    } while (v);
    return cq__append(out, size, at, digits + n, sizeof digits - n);
}
/* "model.layers.#" with the number in it, then ".a", ".b", ".c" (those not empty) */
static size_t cq__path(char *out, size_t size, cq_str layers, size_t layer, cq_str a, cq_str b, const char *c) {
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < layers.n; i++)
        at = layers.p[i] == '#' ? cq__append_number(out, size, at, layer) : cq__append(out, size, at, layers.p + i, 1);
    if (a.n) at = cq__append(out, size, cq__append(out, size, at, ".", at != 0), a.p, a.n);
    if (b.n) at = cq__append(out, size, cq__append(out, size, at, ".", at != 0), b.p, b.n);
    return cq__append(out, size, at, c, cq__strlen(c));
}

CQUANT_DEF size_t cq_module_name(const cq_model *m, size_t block, cq_role role, char *out, size_t size) {
    const cq_block *b = &m->blocks[block];
    return cq__path(out, size, m->arch.layers, b->layer, b->desc->prefix, b->desc->role[role].name, "");
}
CQUANT_DEF size_t cq_head_name(const cq_model *m, char *out, size_t size) {
    return cq__path(out, size, m->arch.head, 0, cq__str(NULL, 0), cq__str(NULL, 0), "");
}

typedef struct cq__binder {
    cq_model *m;
    const cq_weights *weights;
    unsigned char *used; /* (weights->count) */
    cq_arena *arena;
    cq_error *err;
    size_t name_len; /* of m->name, the tensor looked for last */
} cq__binder;

static cq_status cq__bind_fail(const cq__binder *b, cq_status status, const char *what, int64_t got) {
    return cq_fail_at(b->err, status, what, b->m->name, b->name_len, UINT64_MAX, got);
}
static void cq__bind_name(cq__binder *b, cq_str layers, size_t layer, cq_str a, cq_str c, const char *suffix) {
    b->name_len = cq__path(b->m->name, sizeof b->m->name, layers, layer, a, c, suffix);
}

static cq_status cq__bind_find(cq__binder *b, const cq_named **found) {
    if (b->name_len + 1 >= sizeof b->m->name) /* perhaps cut off: it could be the name of another tensor */
        return cq__bind_fail(b, CQ_ERR_RANGE, "the description makes a name of more than 254 bytes", INT64_MIN);
    *found = cq_weights_find(b->weights, b->m->name, b->name_len);
    if (!*found) return cq__bind_fail(b, CQ_ERR_MISSING, "tensor is missing", INT64_MIN);
    b->used[*found - b->weights->list] = 1;
    return CQ_OK;
}
/* The tensor m->name as a matrix of that shape; it may stay where it is. */
static cq_status cq__bind_matrix(cq__binder *b, cq_tensor *t, size_t rows, size_t cols) {
    const cq_named *n;
    cq_status st = cq__bind_find(b, &n);
    if (st) return st;
    if (!n->t.data)
        return cq__bind_fail(b, CQ_ERR_UNSUPPORTED, "tensor has a dtype that is none of F32, F16, BF16", INT64_MIN);
    if (n->ndim != 2) return cq__bind_fail(b, CQ_ERR_FORMAT, "tensor should have two dimensions", n->ndim);
    if (n->t.rows != rows)
        return cq__bind_fail(b, CQ_ERR_FORMAT, "tensor's first dimension contradicts config.json", (int64_t)n->t.rows);
    if (n->t.cols != cols)
        return cq__bind_fail(b, CQ_ERR_FORMAT, "tensor's second dimension contradicts config.json", (int64_t)n->t.cols);
    *t = n->t;
    b->m->parameters += rows * cols;
    return CQ_OK;
}
/* The tensor m->name as a vector of n fp32: in place if it is one, else converted into the arena. */
static cq_status cq__bind_vector(cq__binder *b, const unsigned char **out, size_t n) {
    const cq_named *t;
    unsigned char *copy;
    cq_status st = cq__bind_find(b, &t);
    if (st) return st;
    if (!t->t.data || cq_format_is_int(t->t.format))
        return cq__bind_fail(b, CQ_ERR_UNSUPPORTED, "tensor has a dtype that is none of F32, F16, BF16", INT64_MIN);
    if (t->ndim != 1) return cq__bind_fail(b, CQ_ERR_FORMAT, "tensor should have one dimension", t->ndim);
    if (t->t.cols != n)
        return cq__bind_fail(b, CQ_ERR_FORMAT, "tensor's length contradicts config.json", (int64_t)t->t.cols);
    b->m->parameters += n;
    if (t->t.format == CQ_F32 && t->t.layout == CQ_ROWS) {
        *out = t->t.data;
        return CQ_OK;
    }
    copy = (unsigned char *)cq_alloc(b->arena, n, 4);
    if (!copy) return cq__bind_fail(b, CQ_ERR_MEMORY, "arena too small for the model", INT64_MIN);
    for (size_t i = 0; i < n; i++) {
        float v;
        cq_tensor_span(&t->t, 0, i, 1, &v);
        cq__put32(copy + 4 * i, cq__bits(v));
    }
    *out = copy;
    return CQ_OK;
}

/* A key of config.json; *found false if it is missing or null. */
static cq_status cq__config_int(const cq_model *m, const char *key, bool *found, int64_t *out, cq_error *err) {
    uint32_t node = cq_json_find(&m->config, 0, key);
    *found = node != 0 && !cq_json_is_null(&m->config, node);
    if (!*found) return CQ_OK;
    if (cq_json_int(&m->config, node, out)) return CQ_OK;
    return cq_fail_at(err, CQ_ERR_FORMAT, "key of config.json should be an integer", key, cq__strlen(key),
                      m->config.nodes[node].begin, INT64_MIN);
}
static cq_status cq__config_size(const cq_model *m, const char *key, size_t *out, bool required, cq_error *err) {
    int64_t v = 0;
    bool found;
    cq_status st = cq__config_int(m, key, &found, &v, err);
    if (st) return st;
    if (!found) {
        if (!required) return CQ_OK;
        return cq_fail_at(err, CQ_ERR_MISSING, "config.json lacks a key", key, cq__strlen(key), UINT64_MAX, INT64_MIN);
    }
    if (v < 1 || v > ((int64_t)1 << 30))
        return cq_fail_at(err, CQ_ERR_RANGE, "key of config.json should be between 1 and 2^30", key, cq__strlen(key),
                          UINT64_MAX, v);
    *out = (size_t)v;
    return CQ_OK;
}
static cq_status cq__config_float(const cq_model *m, uint32_t object, const char *key, float *out, cq_error *err) {
    uint32_t node = cq_json_find(&m->config, object, key);
    if (!node || cq_json_is_null(&m->config, node)) return CQ_OK;
    if (cq_json_float(&m->config, node, out) && *out - *out == 0.0f) return CQ_OK;
    return cq_fail_at(err, CQ_ERR_FORMAT, "key of config.json should be a finite number", key, cq__strlen(key),
                      m->config.nodes[node].begin, INT64_MIN);
}
static cq_status cq__config_bool(const cq_model *m, cq_str key, bool *out, cq_error *err) {
    uint32_t node = cq_json_find_n(&m->config, 0, key.p, key.n);
    if (!node || cq_json_is_null(&m->config, node)) return CQ_OK;
    if (cq_json_bool(&m->config, node, out)) return CQ_OK;
    return cq_fail_at(err, CQ_ERR_FORMAT, "key of config.json should be true or false", key.p, key.n,
                      m->config.nodes[node].begin, INT64_MIN);
}

/* Rotary frequencies: inv_freq[j] = theta^(-2j/d), then changed as rope_scaling says (transformers,
   modeling_rope_utils.py). Both spellings of config.json: rope_theta and rope_scaling, or rope_parameters with all. */
#define CQ__PI 3.14159265f
static cq_status cq__bind_rope(cq_model *m, float *inv_freq, cq_error *err) {
    const cq_json *c = &m->config;
    uint32_t params = cq_json_find(c, 0, "rope_parameters"), scaling = cq_json_find(c, 0, "rope_scaling"), type;
    float theta = 10000.0f, factor = 0.0f, original = 0.0f;
    size_t half = m->head_dim / 2;
    cq_status st;
    if (params && cq_json_is_null(c, params)) params = 0;
    if (params) scaling = params;
    if (scaling && cq_json_is_null(c, scaling)) scaling = 0;
    if (scaling && cq_json_kind(c, scaling) != CQ_JSON_OBJECT)
        return cq_fail_at(err, CQ_ERR_FORMAT, "key of config.json should be an object or null",
                          params ? "rope_parameters" : "rope_scaling", params ? 15 : 12, c->nodes[scaling].begin,
                          INT64_MIN);
    for (uint32_t key = params ? cq_json_child(c, params) : 0; key; key = cq_json_next(c, key))
        if (cq_json_kind(c, cq_json_child(c, key)) == CQ_JSON_OBJECT)
            return cq_fail_at(err, CQ_ERR_UNSUPPORTED, "rope_parameters of their own for some layers",
                              "rope_parameters", 15, c->nodes[key].begin, INT64_MIN);
    if ((st = cq__config_float(m, 0, "rope_theta", &theta, err)) != CQ_OK) return st;
    if (params && (st = cq__config_float(m, params, "rope_theta", &theta, err)) != CQ_OK) return st;
    if (!(theta > 1.0f))
        return cq_fail_at(err, CQ_ERR_RANGE, "rope_theta should be above 1", "rope_theta", 10, UINT64_MAX, INT64_MIN);
    for (size_t j = 0; j < half; j++) inv_freq[j] = 1.0f / cq_powf(theta, (float)(2 * j) / (float)m->head_dim);
    m->rope_scale = 1.0f;
    if (!scaling) return CQ_OK;
    type = cq_json_find(c, scaling, "rope_type");
    if (!type) type = cq_json_find(c, scaling, "type");
    if (!type) {
        if (params) return CQ_OK;
        return cq_fail_at(err, CQ_ERR_MISSING, "rope_scaling lacks a key", "rope_type", 9, UINT64_MAX, INT64_MIN);
    }
    if (cq_json_string_eq(c, type, "default")) return CQ_OK;
    bool linear = cq_json_string_eq(c, type, "linear"), yarn = cq_json_string_eq(c, type, "yarn");
    if (!linear && !yarn && !cq_json_string_eq(c, type, "llama3"))
        return cq_fail_at(err, CQ_ERR_UNSUPPORTED, "rope scaling should be default, linear, llama3 or yarn",
                          c->text + c->nodes[type].begin, c->nodes[type].end - c->nodes[type].begin, UINT64_MAX,
                          INT64_MIN);
    if ((st = cq__config_float(m, scaling, "factor", &factor, err)) != CQ_OK) return st;
    if (!(factor >= 1.0f))
        return cq_fail_at(err, CQ_ERR_RANGE, "rope scaling needs a factor of at least 1", "factor", 6, UINT64_MAX,
                          INT64_MIN);
    if (linear) {
        for (size_t j = 0; j < half; j++) inv_freq[j] = inv_freq[j] / factor;
        return CQ_OK;
    }
    original = (float)m->max_position;
    if ((st = cq__config_float(m, 0, "original_max_position_embeddings", &original, err)) != CQ_OK ||
        (st = cq__config_float(m, scaling, "original_max_position_embeddings", &original, err)) != CQ_OK)
        return st;
    if (!(original >= 1.0f))
        return cq_fail_at(err, CQ_ERR_MISSING, "rope scaling needs a key", "original_max_position_embeddings", 32,
                          UINT64_MAX, INT64_MIN);
    if (!yarn) { /* llama3 */
        /* long wavelengths are divided by the factor, short ones kept, those between blended */
        float low = 1.0f, high = 4.0f;
        if ((st = cq__config_float(m, scaling, "low_freq_factor", &low, err)) != CQ_OK ||
            (st = cq__config_float(m, scaling, "high_freq_factor", &high, err)) != CQ_OK)
            return st;
        if (!(low > 0.0f && high > low))
            return cq_fail_at(err, CQ_ERR_RANGE, "rope scaling needs 0 < low_freq_factor < high_freq_factor",
                              "low_freq_factor", 15, UINT64_MAX, INT64_MIN);
        for (size_t j = 0; j < half; j++) {
            float wavelength = 2.0f * CQ__PI / inv_freq[j];
            if (wavelength > original / low) {
                inv_freq[j] = inv_freq[j] / factor;
            } else if (wavelength >= original / high) {
                float smooth = (original / wavelength - low) / (high - low);
                inv_freq[j] = (1.0f - smooth) * inv_freq[j] / factor + smooth * inv_freq[j];
            }
        }
        return CQ_OK;
    }
    /* a ramp over j between the dimensions that turn beta_fast and beta_slow times in the original context */
    float fast = 32.0f, slow = 1.0f, scale = 0.0f, mscale = 0.0f, mscale_all = 0.0f, d = (float)m->head_dim;
    bool truncate = true;
    uint32_t node = cq_json_find(c, scaling, "truncate");
    if (node) (void)cq_json_bool(c, node, &truncate);
    if ((st = cq__config_float(m, scaling, "beta_fast", &fast, err)) != CQ_OK ||
        (st = cq__config_float(m, scaling, "beta_slow", &slow, err)) != CQ_OK ||
        (st = cq__config_float(m, scaling, "attention_factor", &scale, err)) != CQ_OK ||
        (st = cq__config_float(m, scaling, "mscale", &mscale, err)) != CQ_OK ||
        (st = cq__config_float(m, scaling, "mscale_all_dim", &mscale_all, err)) != CQ_OK)
        return st;
    if (!(fast > 0.0f && slow > 0.0f))
        return cq_fail_at(err, CQ_ERR_RANGE, "rope scaling needs beta_fast and beta_slow above 0", "beta_fast", 9,
                          UINT64_MAX, INT64_MIN);
    float log_factor = cq_logf(factor), log_theta = cq_logf(theta);
    if (!(scale > 0.0f)) {
        if (mscale > 0.0f && mscale_all > 0.0f)
            scale = (0.1f * mscale * log_factor + 1.0f) / (0.1f * mscale_all * log_factor + 1.0f);
        else scale = 0.1f * log_factor + 1.0f;
    }
    m->rope_scale = scale;
    float lo = d * cq_logf(original / (fast * 2.0f * CQ__PI)) / (2.0f * log_theta);
    float hi = d * cq_logf(original / (slow * 2.0f * CQ__PI)) / (2.0f * log_theta);
    lo = lo < d - 1.0f ? (lo > 0.0f ? lo : 0.0f) : d - 1.0f;
    hi = hi < d - 1.0f ? (hi > 0.0f ? hi : 0.0f) : d - 1.0f;
    if (truncate) {
        lo = (float)(int32_t)lo;
        float whole = (float)(int32_t)hi;
        hi = whole < hi ? whole + 1.0f : whole;
        hi = hi < d - 1.0f ? hi : d - 1.0f;
    }
    if (!(hi > lo)) hi = lo + 0.001f;
    for (size_t j = 0; j < half; j++) {
        float ramp = ((float)j - lo) / (hi - lo);
        ramp = ramp > 0.0f ? (ramp < 1.0f ? ramp : 1.0f) : 0.0f;
        inv_freq[j] = inv_freq[j] / factor * ramp + inv_freq[j] * (1.0f - ramp);
    }
    return CQ_OK;
}

static cq_status cq__bind_config(cq_model *m, cq_error *err) {
    const cq_json *c = &m->config;
    bool found, tie = m->arch.tie;
    int64_t v = 0;
    uint32_t act;
    cq_status st;
    m->max_position = 0;
    m->kv_heads = m->head_dim = 0;
    m->eps = 1e-6f;
    if ((st = cq__config_size(m, "vocab_size", &m->vocab, true, err)) != CQ_OK ||
        (st = cq__config_size(m, "hidden_size", &m->hidden, true, err)) != CQ_OK ||
        (st = cq__config_size(m, "num_hidden_layers", &m->layers, true, err)) != CQ_OK ||
        (st = cq__config_size(m, "num_attention_heads", &m->heads, true, err)) != CQ_OK ||
        (st = cq__config_size(m, "intermediate_size", &m->inter, true, err)) != CQ_OK ||
        (st = cq__config_size(m, "num_key_value_heads", &m->kv_heads, false, err)) != CQ_OK ||
        (st = cq__config_size(m, "head_dim", &m->head_dim, false, err)) != CQ_OK ||
        (st = cq__config_size(m, "max_position_embeddings", &m->max_position, false, err)) != CQ_OK ||
        (st = cq__config_float(m, 0, "rms_norm_eps", &m->eps, err)) != CQ_OK ||
        (st = cq__config_bool(m, cq__str("tie_word_embeddings", 19), &tie, err)) != CQ_OK)
        return st;
    m->tied = tie;
    if (!m->kv_heads) { /* null means: as many as heads; missing: only where the class says so too */
        if (m->arch.heads_required && !cq_json_find(c, 0, "num_key_value_heads"))
            return cq_fail_at(err, CQ_ERR_MISSING, "config.json lacks a key", "num_key_value_heads", 19, UINT64_MAX,
                              INT64_MIN);
        m->kv_heads = m->heads;
    }
    if (!m->head_dim) {
        if (m->hidden % m->heads)
            return cq_fail_at(err, CQ_ERR_RANGE,
                              "hidden_size is no multiple of num_attention_heads, and there is no head_dim",
                              "hidden_size", 11, UINT64_MAX, (int64_t)m->hidden);
        m->head_dim = m->hidden / m->heads;
    }
    if (m->heads % m->kv_heads)
        return cq_fail_at(err, CQ_ERR_RANGE, "num_attention_heads should be a multiple of num_key_value_heads",
                          "num_key_value_heads", 19, UINT64_MAX, (int64_t)m->kv_heads);
    if (m->head_dim % 2 || m->head_dim > 4096)
        return cq_fail_at(err, CQ_ERR_RANGE, "head_dim should be even and at most 4096", "head_dim", 8, UINT64_MAX,
                          (int64_t)m->head_dim);
    if (m->layers > 4096)
        return cq_fail_at(err, CQ_ERR_RANGE, "a model has at most 4096 layers", "num_hidden_layers", 17, UINT64_MAX,
                          (int64_t)m->layers);
    if (m->heads > 65536)
        return cq_fail_at(err, CQ_ERR_RANGE, "a layer has at most 65536 heads", "num_attention_heads", 19, UINT64_MAX,
                          (int64_t)m->heads);
    if (!(m->eps >= 0.0f && m->eps < 1.0f))
        return cq_fail_at(err, CQ_ERR_RANGE, "rms_norm_eps should be between 0 and 1", "rms_norm_eps", 12, UINT64_MAX,
                          INT64_MIN);
    act = cq_json_find(c, 0, "hidden_act");
    m->act = CQ_ACT_SILU;
    if (act && !cq_json_is_null(c, act)) {
        if (cq_json_string_eq(c, act, "silu") || cq_json_string_eq(c, act, "swish")) m->act = CQ_ACT_SILU;
        else if (cq_json_string_eq(c, act, "gelu_pytorch_tanh") || cq_json_string_eq(c, act, "gelu_new"))
            m->act = CQ_ACT_GELU_TANH;
        else if (cq_json_string_eq(c, act, "relu")) m->act = CQ_ACT_RELU;
        else
            return cq_fail_at(err, CQ_ERR_UNSUPPORTED, "hidden_act should be silu, gelu_pytorch_tanh or relu",
                              c->text + c->nodes[act].begin, c->nodes[act].end - c->nodes[act].begin, UINT64_MAX,
                              INT64_MIN);
    }
    static const char *const id_keys[4] = {"mask_token_id", "eos_token_id", "pad_token_id", "bos_token_id"};
    int32_t *ids[4];
    ids[0] = &m->mask_id;
    ids[1] = &m->eos_id;
    ids[2] = &m->pad_id;
    ids[3] = &m->bos_id;
    for (size_t i = 0; i < 4; i++) {
        uint32_t node = cq_json_find(c, 0, id_keys[i]);
        *ids[i] = -1;
        if (node && cq_json_kind(c, node) == CQ_JSON_ARRAY) node = cq_json_child(c, node); /* several eos: the first */
        if (!node || cq_json_is_null(c, node)) continue;
        found = cq_json_int(c, node, &v);
        if (!found || v < -1 || v >= (int64_t)m->vocab) {
            if (i) continue; /* some checkpoints name ids outside their table; only the mask is needed to run */
            return cq_fail_at(err, CQ_ERR_RANGE, "token id of config.json should be below vocab_size", id_keys[i],
                              cq__strlen(id_keys[i]), UINT64_MAX, found ? v : INT64_MIN);
        }
        *ids[i] = (int32_t)v;
    }
    if (m->arch.diffusion && m->mask_id < 0)
        return cq_fail_at(err, CQ_ERR_MISSING, "config.json lacks a key", "mask_token_id", 13, UINT64_MAX, INT64_MIN);
    return CQ_OK;
}

static size_t cq__dim_of(const cq_model *m, uint8_t dim) {
    switch (dim) {
    case CQ__DIM_Q: return m->heads * m->head_dim;
    case CQ__DIM_KV: return m->kv_heads * m->head_dim;
    case CQ__DIM_INTER: return m->inter;
    default: return m->hidden;
    }
}

/* the sliding window of one layer: layer_types of newer files, else the three keys of the description */
static cq_status cq__bind_window(const cq_model *m, const cq_block_desc *d, size_t layer, size_t *window,
                                 cq_error *err) {
    const cq_json *c = &m->config;
    uint32_t types, node;
    bool on = true;
    int64_t v = 0;
    cq_status st;
    *window = 0;
    if (!d->window.n) return CQ_OK;
    node = cq_json_find_n(c, 0, d->window.p, d->window.n);
    if (!node || cq_json_is_null(c, node)) return CQ_OK;
    if (!cq_json_int(c, node, &v) || v < 1 || v > ((int64_t)1 << 30))
        return cq_fail_at(err, CQ_ERR_RANGE, "sliding window should be a positive integer or null", d->window.p,
                          d->window.n, c->nodes[node].begin, v);
    if (d->window_if.n) {
        on = false;
        if ((st = cq__config_bool(m, d->window_if, &on, err)) != CQ_OK) return st;
    }
    types = cq_json_find(c, 0, "layer_types");
    if (types && cq_json_kind(c, types) == CQ_JSON_ARRAY) {
        uint32_t e = cq_json_child(c, types);
        for (size_t i = 0; e && i < layer; i++) e = cq_json_next(c, e);
        if (!e || !(cq_json_string_eq(c, e, "sliding_attention") || cq_json_string_eq(c, e, "full_attention")))
            return cq_fail_at(err, CQ_ERR_FORMAT,
                              "layer_types should say full_attention or sliding_attention for each layer",
                              "layer_types", 11, layer, INT64_MIN);
        on = on && cq_json_string_eq(c, e, "sliding_attention");
    } else if (on && d->window_from.n) {
        int64_t from = (int64_t)m->layers;
        node = cq_json_find_n(c, 0, d->window_from.p, d->window_from.n);
        if (node && !cq_json_is_null(c, node) && !cq_json_int(c, node, &from))
            return cq_fail_at(err, CQ_ERR_FORMAT, "key of config.json should be an integer", d->window_from.p,
                              d->window_from.n, UINT64_MAX, INT64_MIN);
        on = (int64_t)layer >= from;
    }
    if (on) *window = (size_t)v;
    return CQ_OK;
}

static cq_status cq__bind_block(cq__binder *b, cq_block *block) {
    cq_model *m = b->m;
    const cq_block_desc *d = block->desc;
    cq_str empty = cq__str(NULL, 0);
    cq_status st;
    cq__bind_name(b, m->arch.layers, block->layer, d->pre, empty, ".weight");
    if ((st = cq__bind_vector(b, &block->pre, m->hidden)) != CQ_OK) return st;
    if ((st = cq__bind_window(m, d, block->layer, &block->window, b->err)) != CQ_OK) return st;
    if (d->q_norm.n) {
        cq__bind_name(b, m->arch.layers, block->layer, d->prefix, d->q_norm, ".weight");
        if ((st = cq__bind_vector(b, &block->q_norm, m->head_dim)) != CQ_OK) return st;
    }
    if (d->k_norm.n) {
        cq__bind_name(b, m->arch.layers, block->layer, d->prefix, d->k_norm, ".weight");
        if ((st = cq__bind_vector(b, &block->k_norm, m->head_dim)) != CQ_OK) return st;
    }
    for (size_t r = 0; r < CQ_ROLE_COUNT; r++) {
        const cq_role_desc *role = &d->role[r];
        size_t in = cq__dim_of(m, cq__roles[r].in), out = cq__dim_of(m, cq__roles[r].out);
        bool bias = role->bias;
        if (!role->name.n) continue;
        cq__bind_name(b, m->arch.layers, block->layer, d->prefix, role->name, ".weight");
        if ((st = cq__bind_matrix(b, &block->lin[r].w, out, in)) != CQ_OK) return st;
        if (role->bias_key.n && (st = cq__config_bool(m, role->bias_key, &bias, b->err)) != CQ_OK) return st;
        if (!bias) continue;
        cq__bind_name(b, m->arch.layers, block->layer, d->prefix, role->name, ".bias");
        if ((st = cq__bind_vector(b, &block->lin[r].bias, out)) != CQ_OK) return st;
    }
    return CQ_OK;
}

CQUANT_DEF size_t cq_model_bound(size_t config_len, const cq_weights *weights) {
    size_t bytes = 0, vectors = 0;
    for (size_t i = 0; i < weights->count; i++)
        if (weights->list[i].ndim == 1) vectors += weights->list[i].t.cols * 4 + 2 * CQ_ALIGN;
    /* every node of JSON takes at least one byte of text; a layer has at least one tensor */
    bytes = config_len * (sizeof(cq_json_node) + sizeof(uint32_t)) +
            weights->count * (1 + CQ_MAX_BLOCKS * sizeof(cq_block));
    return bytes + vectors + 4096 * 4 + 64 * CQ_ALIGN;
}

CQUANT_DEF cq_status cq_model_bind(cq_model *m, const char *config, size_t config_len, const cq_weights *weights,
                                   const char *arch_text, size_t arch_len, cq_arena *arena, cq_error *err) {
    cq__binder b;
    cq_str empty = cq__str(NULL, 0);
    uint32_t type;
    float *inv_freq;
    cq_status st;
    cq__fill(m, 0, sizeof *m);
    if (!arena->base)
        return cq_fail(err, CQ_ERR_ARG, "a model cannot be bound without memory; cq_model_bound says how much");
    if ((st = cq_json_parse(&m->config, config, config_len, arena, err)) != CQ_OK) return st;
    if (cq_json_kind(&m->config, 0) != CQ_JSON_OBJECT)
        return cq_fail(err, CQ_ERR_FORMAT, "config.json should hold one JSON object");
    type = cq_json_find(&m->config, 0, "model_type");
    if (!type || cq_json_kind(&m->config, type) != CQ_JSON_STRING)
        return cq_fail_at(err, CQ_ERR_MISSING, "config.json lacks a key", "model_type", 10, UINT64_MAX, INT64_MIN);
    st = arch_text ? cq_arch_parse(&m->arch, arch_text, arch_len, err)
                   : cq_arch_find(&m->arch, config + m->config.nodes[type].begin,
                                  m->config.nodes[type].end - m->config.nodes[type].begin, err);
    if (st) return st;
    if ((st = cq__bind_config(m, err)) != CQ_OK) return st;

    b.m = m;
    b.weights = weights;
    b.arena = arena;
    b.err = err;
    b.name_len = 0;
    /* every layer has tensors: a config.json that promises more layers than there are tensors is refused here, before
       memory is asked for */
    if (m->layers > weights->count)
        return cq_fail_at(err, CQ_ERR_FORMAT, "config.json promises more layers than there are tensors",
                          "num_hidden_layers", 17, UINT64_MAX, (int64_t)m->layers);
    m->block_count = m->layers * m->arch.blocks;
    b.used = (unsigned char *)cq_alloc(arena, weights->count, 1);
    inv_freq = (float *)cq_alloc(arena, m->head_dim / 2, sizeof(float));
    m->blocks = (cq_block *)cq_alloc(arena, m->block_count, sizeof(cq_block));
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for the model");
    if ((st = cq__bind_rope(m, inv_freq, err)) != CQ_OK) return st;
    m->inv_freq = inv_freq;

    cq__bind_name(&b, m->arch.embed, 0, empty, empty, ".weight");
    if ((st = cq__bind_matrix(&b, &m->embed, m->vocab, m->hidden)) != CQ_OK) return st;
    for (size_t i = 0; i < m->block_count; i++) {
        m->blocks[i].desc = &m->arch.block[i % m->arch.blocks];
        m->blocks[i].layer = i / m->arch.blocks;
        if ((st = cq__bind_block(&b, &m->blocks[i])) != CQ_OK) return st;
    }
    cq__bind_name(&b, m->arch.norm, 0, empty, empty, ".weight");
    if ((st = cq__bind_vector(&b, &m->norm, m->hidden)) != CQ_OK) return st;
    cq__bind_name(&b, m->arch.head, 0, empty, empty, ".weight");
    if (m->tied) {
        const cq_named *n = cq_weights_find(weights, m->name, b.name_len);
        m->head.w = m->embed;
        if (n) b.used[n - weights->list] = 1; /* a tied head in the file is the embedding once more */
    } else if ((st = cq__bind_matrix(&b, &m->head.w, m->vocab, m->hidden)) != CQ_OK) {
        return st;
    }
    for (size_t i = 0; i < weights->count; i++) {
        const cq_named *n = &weights->list[i];
        if (!b.used[i] && !(m->arch.ignore.n && cq_glob(m->arch.ignore.p, m->arch.ignore.n, n->name, n->name_len)))
            return cq_fail_at(err, CQ_ERR_FORMAT, "tensor is not part of the architecture that config.json names",
                              n->name, n->name_len, UINT64_MAX, INT64_MIN);
    }
    return CQ_OK;
}

CQUANT_DEF size_t cq_block_group(const cq_block *b, size_t group, cq_role roles[CQ_ROLE_COUNT]) {
    size_t n = 0;
    for (size_t r = 0; r < CQ_ROLE_COUNT; r++)
        if (b->lin[r].w.rows && cq__roles[r].group == group) roles[n++] = (cq_role)r;
    return n;
}

/* ===================================================================================================================
   [LESSON 6 the forward pass]
   One primitive serves prefill, decoding, and denoising: n rows are computed, their keys and values go to cache slots
   of the caller's choice, and each row then sees the visible slots. What is in the other slots stays as it was; that is
   all there is to a static cache.
   ================================================================================================================== */
#define CQ__SLOTS 16u /* pieces of attention that may run at once; each has its own scores */

CQUANT_DEF cq_status cq_session_init(cq_session *s, const cq_context *ctx, const cq_model *m,
                                     const cq_session_desc *desc, cq_arena *hot, cq_arena *cold, cq_error *err) {
    size_t q = m->heads * m->head_dim, kv = m->kv_heads * m->head_dim, widest = m->hidden, cache;
    cq__fill(s, 0, sizeof *s);
    s->ctx = ctx;
    s->m = m;
    s->desc = *desc;
    if (!desc->max_tokens) return cq_fail(err, CQ_ERR_ARG, "a session needs max_tokens");
    if (!s->desc.max_rows) s->desc.max_rows = desc->max_tokens;
    if (!s->desc.tile) s->desc.tile = 64;
    if (s->desc.max_rows > desc->max_tokens)
        return cq_fail(err, CQ_ERR_ARG, "a session cannot run more rows at once than it has cache slots");
    s->desc.tile = cq__min(s->desc.tile, s->desc.max_rows);
    widest = q > widest ? q : widest;
    widest = m->inter > widest ? m->inter : widest;
    if (!cq__mul(s->desc.max_tokens, m->head_dim, &s->block_stride) || !cq__mul(s->block_stride, m->kv_heads, &cache) ||
        !cq__mul(cache, m->layers, &cache))
        return cq_fail(err, CQ_ERR_RANGE, "the cache is too large for this machine");
    s->k = (float *)cq_alloc(cold, cache, sizeof(float));
    s->v = (float *)cq_alloc(cold, cache, sizeof(float));
    s->x = (float *)cq_alloc(hot, s->desc.max_rows, m->hidden * sizeof(float));
    s->q = (float *)cq_alloc(hot, s->desc.max_rows, q * sizeof(float));
    s->cos_sin = (float *)cq_alloc(hot, s->desc.max_rows, m->head_dim * sizeof(float));
    s->xn = (float *)cq_alloc(hot, s->desc.tile, m->hidden * sizeof(float));
    s->kv = (float *)cq_alloc(hot, s->desc.tile, kv * sizeof(float));
    s->gate = (float *)cq_alloc(hot, s->desc.tile, m->inter * sizeof(float));
    s->up = (float *)cq_alloc(hot, s->desc.tile, m->inter * sizeof(float));
    s->scores = (float *)cq_alloc(hot, CQ__SLOTS, (s->desc.max_tokens + m->head_dim) * sizeof(float));
    if (desc->int8) cq_acts_alloc(&s->acts, hot, s->desc.tile, widest);
    if (hot->failed || cold->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for the session");
    return CQ_OK;
}

/* y = W x + b over a tile of rows, in integers where the session and the weights allow it. The linears of a group share
   their quantised activations: whoever fills x anew sets acts_ready to false. */
static void cq__linear(cq_session *s, const cq_linear *l, float *y, size_t ldy, const float *x, size_t ldx, size_t n,
                       bool add) {
    if (!s->desc.int8 || !cq_format_is_int(l->w.format)) {
        cq_matmul(s->ctx, y, ldy, &l->w, l->bias, x, ldx, n, add);
        return;
    }
    if (!s->acts_ready) cq_quantize_acts(s->ctx, &s->acts, x, ldx, n, l->w.cols);
    s->acts_ready = true;
    cq_matmul_q8(s->ctx, y, ldy, &l->w, l->bias, &s->acts, n, add);
}

/* the norms of a tile of rows, into s->xn */
static void cq__norm_tile(cq_session *s, const unsigned char *gain, const float *x, size_t n) {
    size_t hidden = s->m->hidden;
    for (size_t r = 0; r < n; r++) cq_rmsnorm(s->ctx, s->xn + r * hidden, x + r * hidden, gain, hidden, s->m->eps);
    s->acts_ready = false;
}

/* x of one head turned by its angles: half-split pairs (x[j], x[j + d/2]), as GPT-NeoX and its heirs have it */
static void cq__rope(float *x, const float *cos_sin, size_t d) {
    size_t half = d / 2;
    for (size_t j = 0; j < half; j++) {
        float a = x[j], b = x[j + half], c = cos_sin[j], s = cos_sin[half + j];
        x[j] = a * c - b * s;
        x[j + half] = b * c + a * s;
    }
}

CQUANT_DEF void cq_prepare(cq_session *s, const cq_input *in) {
    size_t half = s->m->head_dim / 2;
    for (size_t r = 0; r < in->n; r++) {
        float position = (float)(in->positions ? in->positions[r] : (int32_t)(in->slot + r));
        float *t = s->cos_sin + r * s->m->head_dim;
        for (size_t j = 0; j < half; j++) {
            cq_sincosf(position * s->m->inv_freq[j], t + half + j, t + j); /* the rounded product, as the reference */
            t[j] = t[j] * s->m->rope_scale;
            t[half + j] = t[half + j] * s->m->rope_scale;
        }
    }
}

typedef struct cq__attend_job {
    cq_session *s;
    const cq_block *b;
    const cq_input *in;
    size_t visible, items;
} cq__attend_job;

/* Row r, query head h: scores over the visible keys, softmax, weighted values; the result replaces the query. */
static void cq__attend_one(const cq__attend_job *job, float *scratch, size_t r, size_t h) {
    cq_session *s = job->s;
    const cq_model *m = s->m;
    const cq_input *in = job->in;
    const cq__kernels *kernels = s->ctx->k;
    size_t d = m->head_dim, lo = 0, hi = job->visible, self = in->slot + r;
    size_t base = (job->b->layer * m->kv_heads + h / (m->heads / m->kv_heads)) * s->block_stride;
    float *q = s->q + (r * m->heads + h) * d, *out = scratch + s->desc.max_tokens;
    float scale = 1.0f / cq_sqrtf((float)d);
    if (!in->allow && !in->bias) {
        if (job->b->desc->causal) hi = cq__min(hi, self + 1);
        if (job->b->window && self + 1 > job->b->window) lo = self + 1 - job->b->window;
    }
    if (lo > hi) lo = hi;
    kernels->dots(scratch, q, s->k + base + lo * d, d, d, hi - lo);
    kernels->scale(scratch, scratch, NULL, scale, hi - lo);
    if (in->bias)
        for (size_t i = lo; i < hi; i++) scratch[i - lo] = scratch[i - lo] + in->bias[r * in->ld_mask + i];
    if (in->keep || in->allow)
        for (size_t i = lo; i < hi; i++)
            if ((in->keep && !in->keep[i]) || (in->allow && !in->allow[r * in->ld_mask + i]))
                scratch[i - lo] = -CQ__INFINITY;
    if (cq_softmax(s->ctx, scratch, hi - lo)) {
        kernels->mix(out, scratch, s->v + base + lo * d, d, d, hi - lo);
        cq__copy(q, out, d * sizeof(float));
    } else {
        cq__fill(q, 0, d * sizeof(float)); /* nothing is seen */
    }
}
static void cq__attend_task(void *arg, size_t slot) {
    const cq__attend_job *job = (const cq__attend_job *)arg;
    size_t per = (job->items + CQ__SLOTS - 1) / CQ__SLOTS, heads = job->s->m->heads;
    float *scratch = job->s->scores + slot * (job->s->desc.max_tokens + job->s->m->head_dim);
    for (size_t i = slot * per; i < cq__min((slot + 1) * per, job->items); i++)
        cq__attend_one(job, scratch, i / heads, i % heads);
}

static void cq__tap_call(const cq_tap *tap, const cq_model *m, const cq_block *b, size_t group, const float *x,
                         size_t ldx, size_t rows, size_t first_row) {
    /* b may be a copy with other weights, so its index comes from its place in the description */
    if (tap && tap->fn && (tap->stop == SIZE_MAX || tap->stop == group))
        tap->fn(tap->user, b->layer * m->arch.blocks + (size_t)(b->desc - m->arch.block), group, x, ldx, rows,
                first_row);
}

static void cq__run_attention(cq_session *s, const cq_block *b, const cq_input *in, const cq_tap *tap) {
    const cq_model *m = s->m;
    size_t d = m->head_dim, q_dim = m->heads * d, kv_dim = m->kv_heads * d;
    cq__attend_job job;
    /* keys and values of all rows first: in a bidirectional model every row sees every other */
    for (size_t r0 = 0; r0 < in->n; r0 += s->desc.tile) {
        size_t n = cq__min(s->desc.tile, in->n - r0);
        cq__norm_tile(s, b->pre, s->x + r0 * m->hidden, n);
        cq__tap_call(tap, m, b, 0, s->xn, m->hidden, n, r0);
        if (tap && tap->stop == 0) continue;
        cq__linear(s, &b->lin[CQ_ROLE_Q], s->q + r0 * q_dim, q_dim, s->xn, m->hidden, n, false);
        for (size_t r = r0; r < r0 + n; r++)
            for (size_t h = 0; h < m->heads; h++) {
                float *q = s->q + r * q_dim + h * d;
                if (b->q_norm) cq_rmsnorm(s->ctx, q, q, b->q_norm, d, m->eps);
                cq__rope(q, s->cos_sin + r * d, d);
            }
        for (int value = 0; value < 2; value++) { /* k, then v */
            float *cache = value ? s->v : s->k;
            cq__linear(s, &b->lin[value ? CQ_ROLE_V : CQ_ROLE_K], s->kv, kv_dim, s->xn, m->hidden, n, false);
            for (size_t r = 0; r < n; r++)
                for (size_t h = 0; h < m->kv_heads; h++) {
                    float *x = s->kv + r * kv_dim + h * d;
                    if (!value) {
                        if (b->k_norm) cq_rmsnorm(s->ctx, x, x, b->k_norm, d, m->eps);
                        cq__rope(x, s->cos_sin + (r0 + r) * d, d);
                    }
                    cq__copy(cache + (b->layer * m->kv_heads + h) * s->block_stride + (in->slot + r0 + r) * d, x,
                             d * sizeof(float));
                }
        }
    }
    if (tap && tap->stop == 0) return;
    job.s = s;
    job.b = b;
    job.in = in;
    job.visible = in->visible ? in->visible : in->slot + in->n;
    job.items = in->n * m->heads;
    cq_parallel_for(s->ctx, CQ__SLOTS, cq__attend_task, &job);
    for (size_t r0 = 0; r0 < in->n; r0 += s->desc.tile) {
        size_t n = cq__min(s->desc.tile, in->n - r0);
        cq__tap_call(tap, m, b, 1, s->q + r0 * q_dim, q_dim, n, r0);
        if (tap && tap->stop == 1) continue;
        s->acts_ready = false;
        cq__linear(s, &b->lin[CQ_ROLE_O], s->x + r0 * m->hidden, m->hidden, s->q + r0 * q_dim, q_dim, n, true);
    }
}

static void cq__activate(cq_session *s, float *g, const float *u, size_t n) {
    switch (s->m->act) {
    case CQ_ACT_SILU: cq_silu_mul(s->ctx, g, u, n); break;
    case CQ_ACT_RELU:
        for (size_t i = 0; i < n; i++) g[i] = (g[i] > 0.0f ? g[i] : 0.0f) * u[i];
        break;
    case CQ_ACT_GELU_TANH: /* x/2 (1 + tanh z) = x / (1 + exp(-2z)), z = sqrt(2/pi) (x + 0.044715 x^3) */
        for (size_t i = 0; i < n; i++) {
            float x = g[i], z = 0.797884561f * (x + 0.044715f * (x * x * x));
            g[i] = (x / (1.0f + cq_expf(-2.0f * z))) * u[i];
        }
        break;
    }
}

static void cq__run_mlp(cq_session *s, const cq_block *b, const cq_input *in, const cq_tap *tap) {
    const cq_model *m = s->m;
    for (size_t r0 = 0; r0 < in->n; r0 += s->desc.tile) {
        size_t n = cq__min(s->desc.tile, in->n - r0);
        cq__norm_tile(s, b->pre, s->x + r0 * m->hidden, n);
        cq__tap_call(tap, m, b, 0, s->xn, m->hidden, n, r0);
        if (tap && tap->stop == 0) continue;
        cq__linear(s, &b->lin[CQ_ROLE_GATE], s->gate, m->inter, s->xn, m->hidden, n, false);
        cq__linear(s, &b->lin[CQ_ROLE_UP], s->up, m->inter, s->xn, m->hidden, n, false);
        for (size_t r = 0; r < n; r++) cq__activate(s, s->gate + r * m->inter, s->up + r * m->inter, m->inter);
        cq__tap_call(tap, m, b, 1, s->gate, m->inter, n, r0);
        if (tap && tap->stop == 1) continue;
        s->acts_ready = false;
        cq__linear(s, &b->lin[CQ_ROLE_DOWN], s->x + r0 * m->hidden, m->hidden, s->gate, m->inter, n, true);
    }
}

CQUANT_DEF void cq_run_block(cq_session *s, const cq_block *b, const cq_input *in, const cq_tap *tap) {
    switch (b->desc->kind) {
    case CQ_BLOCK_ATTENTION: cq__run_attention(s, b, in, tap); break;
    case CQ_BLOCK_MLP: cq__run_mlp(s, b, in, tap); break;
    }
}

CQUANT_DEF cq_status cq_forward(cq_session *s, const cq_input *in, cq_error *err) {
    const cq_model *m = s->m;
    size_t visible = in->visible ? in->visible : in->slot + in->n;
    if (!in->n || in->n > s->desc.max_rows)
        return cq_fail_at(err, CQ_ERR_RANGE, "more rows than the session was made for (or none)", NULL, 0, UINT64_MAX,
                          (int64_t)in->n);
    if (in->slot > s->desc.max_tokens - in->n || visible > s->desc.max_tokens || visible < in->slot + in->n)
        return cq_fail_at(err, CQ_ERR_RANGE, "rows or visible slots lie outside the session's cache", NULL, 0, in->slot,
                          (int64_t)visible);
    if ((in->allow || in->bias) && in->ld_mask < visible)
        return cq_fail_at(err, CQ_ERR_ARG, "a mask row is shorter than the visible slots", NULL, 0, UINT64_MAX,
                          (int64_t)in->ld_mask);
    for (size_t r = 0; r < in->n; r++) {
        if (in->positions && in->positions[r] < 0)
            return cq_fail_at(err, CQ_ERR_RANGE, "a position is negative", NULL, 0, r, in->positions[r]);
        if (in->ids && (in->ids[r] < 0 || (size_t)in->ids[r] >= m->vocab))
            return cq_fail_at(err, CQ_ERR_RANGE, "a token id is outside the vocabulary", NULL, 0, r, in->ids[r]);
    }
    for (size_t r = 0; in->ids && r < in->n; r++) cq_tensor_row(&m->embed, (size_t)in->ids[r], s->x + r * m->hidden);
    s->rows = in->n;
    cq_prepare(s, in);
    for (size_t i = 0; i < m->block_count; i++) cq_run_block(s, &m->blocks[i], in, NULL);
    return CQ_OK;
}

CQUANT_DEF void cq_logits(cq_session *s, const uint32_t *rows, size_t n, float *out) {
    const cq_model *m = s->m;
    for (size_t r0 = 0; r0 < n; r0 += s->desc.tile) {
        size_t count = cq__min(s->desc.tile, n - r0);
        for (size_t r = 0; r < count; r++)
            cq_rmsnorm(s->ctx, s->xn + r * m->hidden, s->x + (rows ? rows[r0 + r] : r0 + r) * m->hidden, m->norm,
                       m->hidden, m->eps);
        s->acts_ready = false;
        cq__linear(s, &m->head, out + r0 * m->vocab, m->vocab, s->xn, m->hidden, count, false);
    }
}
/* ===================================================================================================================
   [LESSON 7 generating]  masked diffusion: fill the masks, the surest first

   A diffusion model sees the whole sequence, with a mask id where no token is known yet, and gives for every masked
   position a distribution over the vocabulary. A step fills some of the masks; the next pass sees them filled. Source:
   Dream's diffusion_generate, and Fast-dLLM's block-wise decoding for the caches.

       one row of logits -> [filter] temperature, top_p, top_k -> [draw] one token and how sure it is
       all masked positions -> [schedule] how many are filled in this step -> [choose] which

   Everything random comes from cq_random(seed, stream, counter), counter = position in the sequence, stream = step
   (plus one high bit for each kind of decision): the same seed gives the same text on every machine, whatever the order
   of the work.
   ================================================================================================================== */
#define CQ__GEN_HEAD_ROWS 8u                 /* rows through lm_head together: as many rows of logits are held */
#define CQ__GEN_TRANSFER ((uint64_t)1 << 62) /* streams: does this position take part (origin); */
#define CQ__GEN_ORDER ((uint64_t)1 << 63)    /* in which order do positions come (alg_temp) */

CQUANT_DEF const char *cq_alg_name(cq_alg alg) {
    switch (alg) {
    case CQ_ALG_ORIGIN: return "origin";
    case CQ_ALG_MASKGIT_PLUS: return "maskgit_plus";
    case CQ_ALG_TOPK_MARGIN: return "topk_margin";
    case CQ_ALG_ENTROPY: return "entropy";
    case CQ_ALG_COUNT: break;
    }
    return NULL;
}

/* --- filter: which tokens of a row stay --------------------------------------------------------------------------- */
/* exp(logit - max), in [0, 1], as an integer in units of 2^-40: sums of these are exact, so they do not depend on the
   order. What is lost is under vocab * 2^-40, 1.4e-7 for 152064 tokens. They fit for a vocabulary of up to 2^24. */
static uint64_t cq__draw_mass(float e) { return e > 0.0f ? (uint64_t)((e < 1.0f ? e : 1.0f) * 1099511627776.0f) : 0; }

/* An unsigned number that is ordered as the float is; -0 counts as 0. Numbers only, not NaN. */
static uint32_t cq__draw_key(float x) {
    uint32_t u = cq__bits(x + 0.0f);
    return u >> 31 ? ~u : u | 0x80000000u;
}

/* The largest value v for which the weights of all x >= v add up to `want` or more; *above: the weights of all x > v.
   Weight: mass ? exp(x - max) : 1. The sum of all weights must reach want. It is what a sort in descending order and a
   walk down to `want` would find: the key of v is found digit by digit from the top, by a histogram of the weights of
   those that share the digits found so far (2 bits first, then five times 6), without moving or copying anything. */
static float cq__draw_threshold(const float *x, size_t n, float max, bool mass, uint64_t want, uint64_t *above) {
    uint64_t bin[64], over = 0;
    uint32_t found = 0;
    for (unsigned shift = 30;; shift -= 6) {
        for (size_t d = 0; d < 64; d++) bin[d] = 0;
        for (size_t i = 0; i < n; i++) {
            uint32_t key = cq__draw_key(x[i]);
            if (shift < 30 && key >> (shift + 6) != found) continue;
            bin[(key >> shift) & 63u] += mass ? cq__draw_mass(cq_expf(x[i] - max)) : 1;
        }
        uint32_t d = 63;
        while (d > 0 && over + bin[d] < want) over += bin[d--];
        found = found << 6 | d;
        if (shift == 0) break;
    }
    *above = over;
    return cq__float(found >> 31 ? found & 0x7fffffffu : ~found);
}

/* Keeps the likeliest tokens up to and including the one at which their probabilities add up to more than top_p; the
   others become -infinity. Of equal logits the lower ids come first, as in a stable sort. max: the largest logit. */
static void cq__draw_top_p(float *x, size_t n, float max, float top_p) {
    uint64_t total = 0, before;
    for (size_t i = 0; i < n; i++) total += cq__draw_mass(cq_expf(x[i] - max));
    uint64_t p = (uint64_t)(top_p * 4294967296.0f);       /* 32 bits after the point, below 2^32 */
    uint64_t want = cq__mulhi(total, p << 32) + 1;        /* the least integer above top_p * total; at most total */
    float v = cq__draw_threshold(x, n, max, true, want, &before);
    uint64_t each = cq__draw_mass(cq_expf(v - max));
    for (size_t i = 0; i < n; i++) {
        if (x[i] > v) continue;
        if (x[i] < v || before >= want) x[i] = -CQ__INFINITY;
        else before += each;
    }
}

/* Keeps logits not below the k-th largest, ties with it included. 0 < k < n. */
static void cq__draw_top_k(float *x, size_t n, size_t k) {
    uint64_t above;
    float v = cq__draw_threshold(x, n, 0.0f, false, k, &above);
    for (size_t i = 0; i < n; i++)
        if (x[i] < v) x[i] = -CQ__INFINITY;
}

/* --- draw: one token from a row of logits ------------------------------------------------------------------------- */
/* How sure the choice of `token` is. x: exp(logit - max), overwritten. */
static float cq__draw_confidence(const cq__kernels *k, float *x, size_t n, cq_alg alg, size_t token) {
    float sum = k->sum(x, n), first = 0.0f, second = 0.0f;
    switch (alg) {
    case CQ_ALG_TOPK_MARGIN:
        for (size_t i = 0; i < n; i++) {
            if (x[i] > first) {
                second = first;
                first = x[i];
            } else if (x[i] > second) {
                second = x[i];
            }
        }
        return first / sum - second / sum;
    case CQ_ALG_ENTROPY: /* the small addend is the reference's way around log 0 */
        for (size_t i = 0; i < n; i++) {
            float p = x[i] / sum;
            x[i] = p > 0.0f ? p * cq_logf(p + 1e-10f) : 0.0f;
        }
        return k->sum(x, n);
    case CQ_ALG_ORIGIN:
    case CQ_ALG_MASKGIT_PLUS:
    case CQ_ALG_COUNT: break;
    }
    return x[token] / sum;
}

static int32_t cq__draw(const cq__kernels *k, float *x, size_t n, const cq_generate_desc *d, uint64_t stream,
                        uint64_t counter, float *confidence) {
    const float largest = cq__float(0x7f7fffffu);
    for (size_t i = 0; i < n; i++) { /* what is no number is never chosen; what is infinite is only very large */
        float v = d->temperature > 0.0f ? x[i] / d->temperature : x[i];
        x[i] = v != v ? -CQ__INFINITY : v > largest ? largest : v;
    }
    float max = k->max(x, n);
    if (!(max > -CQ__INFINITY)) {
        if (confidence) *confidence = -CQ__INFINITY;
        return 0;
    }
    size_t token = 0;
    while (x[token] < max) token++; /* the first of equals; no filter removes it */
    if (!(d->temperature > 0.0f) && !confidence) return (int32_t)token;

    if (d->top_p > 0.0f && d->top_p < 1.0f) cq__draw_top_p(x, n, max, d->top_p);
    if (d->top_k > 0 && d->top_k < n) cq__draw_top_k(x, n, d->top_k);
    k->exp_minus(x, max, n);
    if (d->temperature > 0.0f) { /* a point on the line of all masses, laid end to end */
        uint64_t total = 0, end = 0;
        for (size_t i = 0; i < n; i++) total += cq__draw_mass(x[i]);
        uint64_t point = cq__mulhi(cq_random(d->seed, stream, counter), total); /* 0 .. total - 1 */
        for (token = 0; token + 1 < n; token++) {
            end += cq__draw_mass(x[token]);
            if (end > point) break;
        }
    }
    if (confidence) *confidence = cq__draw_confidence(k, x, n, d->alg, token);
    return (int32_t)token;
}

CQUANT_DEF int32_t cq_sample(float *logits, size_t vocab, const cq_generate_desc *desc, uint64_t stream,
                             uint64_t counter, float *confidence) {
    cq_context ctx;
    cq_init(&ctx, NULL, NULL); /* any tier: all give the same bits */
    return cq__draw(ctx.k, logits, vocab, desc, stream, counter, confidence);
}

/* --- schedule: how many positions are filled in a step ------------------------------------------------------------ */
/* Time runs from 1 to eps: element i of steps + 1 equally spaced ones, counted from the nearer end. */
static float cq__gen_time(float eps, size_t steps, size_t i) {
    float d = (eps - 1.0f) / (float)steps;
    return i < (steps + 1) / 2 ? 1.0f + d * (float)i : eps - d * (float)(steps - i);
}

/* The part of the masks that goes in step i: with t -> s it is 1 - s / t; the last step takes all. */
static float cq__gen_part(float eps, size_t steps, size_t i) {
    return i + 1 >= steps ? 1.0f : 1.0f - cq__gen_time(eps, steps, i + 1) / cq__gen_time(eps, steps, i);
}

static size_t cq__gen_quota(size_t masks, float eps, size_t steps, size_t i) {
    float part = (float)masks * cq__gen_part(eps, steps, i);
    if (i + 1 >= steps) return masks;
    return part > 0.0f ? cq__min((size_t)part, masks) : 0;
}

/* --- one pass, and the predictions from it ------------------------------------------------------------------------ */
/* Runs rows [first, end) against all n cache slots. */
static cq_status cq__gen_pass(cq_generator *g, size_t first, size_t end, const uint8_t *keep, cq_error *err) {
    cq_input in;
    if (first >= end) return CQ_OK;
    in.ids = g->ids + first;
    in.n = end - first;
    in.slot = first;
    in.visible = g->n;
    in.positions = g->positions ? g->positions + first : NULL;
    in.keep = keep;
    in.allow = NULL;
    in.bias = NULL;
    in.ld_mask = 0;
    g->stats.forwards++;
    g->stats.rows += in.n;
    return cq_forward(g->s, &in, err);
}

typedef struct cq__gen_batch {
    cq_generator *g;
    const cq_generate_desc *desc;
    bool sure; /* confidence is wanted */
    size_t n;
    uint32_t row[CQ__GEN_HEAD_ROWS]; /* row of the last pass */
    size_t item[CQ__GEN_HEAD_ROWS];  /* candidate */
} cq__gen_batch;

static void cq__gen_reduce(void *arg, size_t i) {
    cq__gen_batch *b = (cq__gen_batch *)arg;
    cq_generator *g = b->g;
    size_t j = b->item[i], vocab = g->s->m->vocab;
    g->token[j] = cq__draw(g->s->ctx->k, g->logits + i * vocab, vocab, b->desc, g->step, g->where[j],
                           b->sure ? g->confidence + j : NULL);
}

/* lm_head for the rows of the batch; each row of logits becomes a token and a confidence at once. */
static void cq__gen_flush(cq__gen_batch *b) {
    cq_logits(b->g->s, b->row, b->n, b->g->logits);
    cq_parallel_for(b->g->s->ctx, b->n, cq__gen_reduce, b);
    b->g->stats.head_rows += b->n;
    b->n = 0;
}

/* Fills token[j] and, if `sure`, confidence[j] for the candidates where[0 .. count), after a pass whose first row is
   `first`. In models that shift, the row before a position predicts it; position 0 has only its own row, and so has the
   first position of a window. No other row goes through lm_head. */
static cq_status cq__gen_predict(cq_generator *g, const cq_generate_desc *desc, bool sure, size_t first, bool window,
                                 size_t count, cq_error *err) {
    cq__gen_batch b;
    bool unseen = false;
    b.g = g;
    b.desc = desc;
    b.sure = sure;
    b.n = 0;
    for (int turn = 0; turn < (unseen ? 2 : 1); turn++) {
        for (size_t j = 0; j < count; j++) {
            size_t p = g->where[j], row = p > 0 && g->s->m->arch.shift ? p - 1 : p;
            if (window && row < first) row = first;
            bool hidden = g->keep && !g->keep[row];
            if (hidden) unseen = true;
            if (hidden != (turn == 1)) continue;
            b.row[b.n] = (uint32_t)(row - first);
            b.item[b.n++] = j;
            if (hidden) { /* padding sees nothing: a pass of its own, after all rows of the common one are used */
                cq_status status = cq__gen_pass(g, row, row + 1, g->none, err);
                if (status != CQ_OK) return status;
                b.row[0] = 0;
            }
            if (hidden || b.n == CQ__GEN_HEAD_ROWS) cq__gen_flush(&b);
        }
        if (b.n) cq__gen_flush(&b);
    }
    return CQ_OK;
}

/* --- choose: which candidates are filled -------------------------------------------------------------------------- */
/* Writes candidate j and takes it out of the race. True if the sequence changed: a model may predict the mask id. */
static bool cq__gen_take(cq_generator *g, size_t j) {
    bool changed = g->token[j] != g->s->m->mask_id;
    g->ids[g->where[j]] = g->token[j];
    g->token[j] = -1;
    return changed;
}

/* Takes the surest candidate that is left (the lowest position of equals). */
static bool cq__gen_take_best(cq_generator *g, size_t count) {
    size_t best = count;
    for (size_t j = 0; j < count; j++)
        if (g->token[j] >= 0 && (best == count || g->confidence[j] > g->confidence[best])) best = j;
    return best < count && cq__gen_take(g, best);
}

/* n draws without replacement from softmax(confidence / alg_temp) are the n largest of confidence / alg_temp + Gumbel
   noise (Kool et al., 2019): -log(-log u), u in (0, 1) with 23 bits and a half, so that neither end is reached. */
static float cq__gen_gumbel(uint64_t random) {
    float u = ((float)(uint32_t)(random >> 41) + 0.5f) * 1.1920928955078125e-7f;
    return -cq_logf(-cq_logf(u));
}

/* Fills the candidates that go; false if the sequence is what it was. */
static bool cq__gen_choose(cq_generator *g, size_t count, size_t take, bool by_threshold) {
    const cq_generate_desc *d = &g->desc;
    bool changed = false;
    if (by_threshold) { /* the best one always, or there might be no progress */
        changed = cq__gen_take_best(g, count);
        for (size_t j = 0; j < count; j++)
            if (g->token[j] >= 0 && !(g->confidence[j] < d->threshold) && cq__gen_take(g, j)) changed = true;
        return changed;
    }
    if (take == count) {
        for (size_t j = 0; j < count; j++)
            if (cq__gen_take(g, j)) changed = true;
        return changed;
    }
    for (size_t j = 0; d->alg_temp > 0.0f && j < count; j++)
        g->confidence[j] = g->confidence[j] / d->alg_temp +
                           cq__gen_gumbel(cq_random(d->seed, g->step | CQ__GEN_ORDER, g->where[j]));
    for (size_t i = 0; i < take; i++)
        if (cq__gen_take_best(g, count)) changed = true;
    return changed;
}

/* Masked positions of the present range, in order, into where[]. */
static size_t cq__gen_masks(cq_generator *g) {
    size_t count = 0;
    for (size_t p = g->from; p < g->to; p++)
        if (g->ids[p] == g->s->m->mask_id) g->where[count++] = (uint32_t)p;
    return count;
}

/* origin: every masked position decides by itself; where[] keeps those that go. */
static size_t cq__gen_toss(cq_generator *g, size_t count) {
    const cq_generate_desc *d = &g->desc;
    float part = cq__gen_part(d->eps, g->rounds, g->round);
    size_t go = 0;
    for (size_t j = 0; j < count; j++) {
        uint32_t p = g->where[j];
        float u = d->uniform ? d->uniform[g->round * g->n + p]
                             : (float)(uint32_t)(cq_random(d->seed, g->step | CQ__GEN_TRANSFER, p) >> 40) *
                                   5.9604644775390625e-8f; /* 24 bits, [0, 1) */
        if (u < part || g->round + 1 >= g->rounds) g->where[go++] = p;
    }
    return go;
}

/* --- the steps ---------------------------------------------------------------------------------------------------- */
/* Goes on to the next block that has masks. */
static void cq__gen_next_range(cq_generator *g) {
    while (g->desc.cache != CQ_CACHE_NONE && g->to < g->n) {
        g->from = g->to;
        g->to += g->desc.block_length;
        g->round = 1; /* round 0 is the full pass, which fills the first position */
        g->window = g->enter = true;
        if (cq__gen_masks(g)) return;
    }
    g->done = true;
}

/* Resolves defaults and refuses what has no meaning. */
static cq_status cq__gen_check(cq_generate_desc *d, const cq_session *s, size_t n, size_t prompt, cq_error *err) {
    const cq_model *m = s->m;
    if (!m->arch.diffusion)
        return cq_fail(err, CQ_ERR_UNSUPPORTED, "a causal model has no masks to fill: use cq_generate_next");
    if (m->mask_id < 0) return cq_fail(err, CQ_ERR_ARG, "config.json must name a mask_token_id");
    if (n == 0 || prompt > n)
        return cq_fail_at(err, CQ_ERR_ARG, "the sequence must have a token at least, and be no shorter than the prompt",
                          NULL, 0, UINT64_MAX, (int64_t)n);
    if (n > s->desc.max_tokens || n > (s->desc.max_rows ? s->desc.max_rows : s->desc.max_tokens))
        return cq_fail_at(err, CQ_ERR_ARG, "the session needs max_tokens and max_rows for prompt and new tokens",
                          NULL, 0, UINT64_MAX, (int64_t)n);
    if ((int)d->alg < 0 || d->alg >= CQ_ALG_COUNT || (int)d->cache < 0 || d->cache > CQ_CACHE_DUAL)
        return cq_fail(err, CQ_ERR_ARG, "unknown alg or cache");
    if (d->steps == 0) d->steps = 512;
    if (d->steps > 16777216)
        return cq_fail_at(err, CQ_ERR_ARG, "steps must be at most 16777216", NULL, 0, UINT64_MAX, (int64_t)d->steps);
    if (d->eps == 0.0f) d->eps = 0.001f;
    if (!(d->eps > 0.0f && d->eps < 1.0f)) return cq_fail(err, CQ_ERR_ARG, "eps must lie between 0 and 1");
    if (!(d->temperature >= 0.0f) || !(d->top_p >= 0.0f) || !(d->alg_temp >= 0.0f) || !(d->threshold >= 0.0f))
        return cq_fail(err, CQ_ERR_ARG, "temperature, top_p, alg_temp and threshold must be 0 (off) or positive");
    if (d->cache == CQ_CACHE_NONE) {
        if (d->threshold > 0.0f) d->alg = CQ_ALG_ENTROPY;
        return CQ_OK;
    }
    d->alg = d->threshold > 0.0f ? CQ_ALG_MASKGIT_PLUS : CQ_ALG_ENTROPY;
    if (d->block_length == 0) d->block_length = 32;
    if ((n - prompt) % d->block_length)
        return cq_fail_at(err, CQ_ERR_ARG, "with a cache the number of new tokens must be a multiple of block_length",
                          NULL, 0, UINT64_MAX, (int64_t)(n - prompt));
    size_t blocks = (n - prompt) / d->block_length;
    if (!(d->threshold > 0.0f) && blocks && d->steps % blocks)
        return cq_fail_at(err, CQ_ERR_ARG,
                          "with a cache steps must be a multiple of the number of blocks (new tokens / block_length)",
                          NULL, 0, UINT64_MAX, (int64_t)d->steps);
    return CQ_OK;
}

CQUANT_DEF cq_status cq_generate_begin(cq_generator *g, cq_session *s, const cq_generate_desc *desc, int32_t *ids,
                                       size_t n, size_t prompt, const uint8_t *keep, cq_arena *arena, cq_error *err) {
    g->s = s;
    g->desc = *desc;
    g->ids = ids;
    g->n = n;
    g->prompt = prompt;
    g->keep = NULL;
    g->step = g->round = g->from = g->lead = 0;
    g->window = g->enter = false;
    g->done = true;
    g->stats.steps = g->stats.forwards = g->stats.rows = g->stats.head_rows = 0;
    cq_status status = cq__gen_check(&g->desc, s, n, prompt, err);
    if (status != CQ_OK) return status;

    size_t batch;
    if (!cq__mul(cq__min(n, CQ__GEN_HEAD_ROWS), s->m->vocab, &batch))
        return cq_fail(err, CQ_ERR_RANGE, "the logits are too large for this machine");
    g->logits = (float *)cq_alloc(arena, batch, sizeof(float));
    g->confidence = (float *)cq_alloc(arena, n, sizeof(float));
    g->where = (uint32_t *)cq_alloc(arena, n, sizeof(uint32_t));
    g->token = (int32_t *)cq_alloc(arena, n, sizeof(int32_t));
    g->positions = keep ? (int32_t *)cq_alloc(arena, n, sizeof(int32_t)) : NULL;
    g->seen = keep ? (uint8_t *)cq_alloc(arena, n, 1) : NULL;
    g->none = keep ? (uint8_t *)cq_alloc(arena, n, 1) : NULL; /* zeros */
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "the arena is too small for the generator");
    if (!arena->base) return CQ_OK;

    if (keep) { /* positions count the tokens that are seen; a mask that hides nothing is none */
        int32_t next = 0;
        bool hides = false;
        for (size_t i = 0; i < n; i++) {
            g->seen[i] = (uint8_t)(i >= prompt || keep[i]);
            g->positions[i] = g->seen[i] ? next++ : 1;
            if (!g->seen[i]) hides = true;
            if (next == 0) g->lead = i + 1;
        }
        g->keep = hides ? g->seen : NULL;
        if (!hides) g->positions = NULL;
    }
    g->done = false;
    g->to = g->desc.cache == CQ_CACHE_NONE ? n : prompt;
    g->rounds = g->desc.steps;
    if (g->desc.cache != CQ_CACHE_NONE && n > prompt) g->rounds /= (n - prompt) / g->desc.block_length;
    if (!cq__gen_masks(g)) cq__gen_next_range(g);
    return CQ_OK;
}

/* One step is: a pass over the rows, then some masks are filled. Without a cache all rows are computed. With one, a
   block is entered with a pass over all rows, which leaves keys and values of everything in the session, and then only
   rows from the block on (prefix), or of the block (dual), are computed, in place.

   Two things of the reference are not computed because they change nothing: a pass after which the schedule fills no
   mask, and the steps after the last mask. In one thing we differ: where the schedule has a single step for a block,
   Fast-dLLM leaves all but the first token masked; we fill them. */
CQUANT_DEF cq_status cq_generate_step(cq_generator *g, cq_error *err) {
    const cq_generate_desc *d = &g->desc;
    bool by_threshold = d->cache != CQ_CACHE_NONE && d->threshold > 0.0f, changed = false;
    if (g->done) return CQ_OK;
    if (g->enter) {
        cq_status status = cq__gen_pass(g, g->lead, g->n, g->keep, err);
        if (status != CQ_OK) return status;
        /* The row that predicts the first position stands before the window, and is computed only now. */
        if (g->s->m->arch.shift && g->ids[g->from] == g->s->m->mask_id) {
            cq_generate_desc likeliest = *d;
            likeliest.temperature = 0.0f;
            g->where[0] = (uint32_t)g->from;
            status = cq__gen_predict(g, &likeliest, false, g->lead, false, 1, err);
            if (status != CQ_OK) return status;
            changed = cq__gen_take(g, 0);
        }
        g->enter = false;
    }

    size_t count = cq__gen_masks(g), take = count;
    if (d->alg == CQ_ALG_ORIGIN) take = count = cq__gen_toss(g, count);
    else if (!by_threshold) take = cq__gen_quota(count, d->eps, g->rounds, g->round);
    if (take) {
        size_t first = g->window ? g->from : g->lead;
        size_t end = g->window && d->cache == CQ_CACHE_DUAL ? g->to : g->n;
        bool sure = take < count || by_threshold; /* who takes all need not know how sure they are */
        cq_status status = cq__gen_pass(g, first, end, g->keep, err);
        if (status == CQ_OK) status = cq__gen_predict(g, d, sure, first, g->window, count, err);
        if (status != CQ_OK) return status;
        if (cq__gen_choose(g, count, take, by_threshold)) changed = true;
    }
    g->step++;
    g->round++;
    g->stats.steps++;
    /* A pass that changed nothing would only be repeated: the model insists on the mask id. */
    if (!cq__gen_masks(g) || (by_threshold ? !changed : g->round >= g->rounds)) cq__gen_next_range(g);
    return CQ_OK;
}

/* --- causal models ------------------------------------------------------------------------------------------------ */
CQUANT_DEF cq_status cq_generate_next(cq_session *s, const cq_generate_desc *desc, int32_t *ids, size_t n,
                                      size_t max_new, int32_t eos_id, size_t *count, cq_generate_stats *stats,
                                      cq_arena *arena, cq_error *err) {
    size_t most = s->desc.max_rows ? s->desc.max_rows : s->desc.max_tokens, done = 0, written = 0, total;
    cq_generate_stats st;
    st.steps = st.forwards = st.rows = st.head_rows = 0;
    if (count) *count = 0;
    if (stats) *stats = st;
    if (s->m->arch.diffusion)
        return cq_fail(err, CQ_ERR_UNSUPPORTED, "a diffusion model fills masks: use cq_generate_begin");
    if (n == 0) return cq_fail(err, CQ_ERR_ARG, "the prompt is empty: it needs one token at least, such as bos");
    if (!cq__add(n, max_new, &total) || total > s->desc.max_tokens)
        return cq_fail_at(err, CQ_ERR_ARG, "the session needs max_tokens for the prompt and all new tokens", NULL, 0,
                          UINT64_MAX, (int64_t)s->desc.max_tokens);
    if (!(desc->temperature >= 0.0f) || !(desc->top_p >= 0.0f))
        return cq_fail(err, CQ_ERR_ARG, "temperature and top_p must be 0 (off) or positive");
    float *logits = (float *)cq_alloc(arena, s->m->vocab, sizeof(float));
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "the arena is too small for one row of logits");
    if (!arena->base) return CQ_OK;

    while (written < max_new) {
        cq_input in;
        cq_status status = CQ_OK;
        while (done < n + written && status == CQ_OK) { /* the prompt, in parts if need be; then one token each time */
            in.ids = ids + done;
            in.n = cq__min(n + written - done, most);
            in.slot = done;
            in.visible = 0;
            in.positions = NULL;
            in.keep = in.allow = NULL;
            in.bias = NULL;
            in.ld_mask = 0;
            status = cq_forward(s, &in, err);
            done += in.n;
            st.forwards++;
            st.rows += in.n;
        }
        if (status != CQ_OK) return status;
        uint32_t last = (uint32_t)(s->rows - 1);
        cq_logits(s, &last, 1, logits);
        int32_t token = cq__draw(s->ctx->k, logits, s->m->vocab, desc, written, n + written, NULL);
        ids[n + written++] = token;
        st.steps++;
        st.head_rows++;
        if (count) *count = written;
        if (stats) *stats = st;
        if (eos_id >= 0 && token == eos_id) break;
    }
    return CQ_OK;
}

/* ===================================================================================================================
   [LESSON 8 rotating a model]
   RMSNorm first multiplies by its gain g; once g is folded into the columns of the linears that read it, the norm
   commutes with every rotation R of the residual stream. So, with R1 for the stream and R2 for the heads of a layer:

       embedding E      ->  E R1                          reads ids, writes the stream
       reader    W      ->  R2'^T (W diag(g)) R1           q, k, gate, up; v also turns its heads: R2' = R2 there
       writer    W      ->  R1^T W R2''                    o, down;       o undoes the turn: R2'' = R2 there
       bias      b      ->  R1^T b or R2^T b               where the output side is rotated
       head      H      ->  H diag(g_final) R1

   Which linear is which stands in the table of roles; nothing here knows an architecture. Per-head norms of q and k and
   rope are untouched, because nothing between them and the scores is rotated.
   ================================================================================================================== */
static cq_status cq__rotation_auto(cq_rotation *r, size_t n, uint64_t seed, uint64_t stream, cq_arena *arena,
                                   cq_error *err) {
    cq_arena before = *arena;
    cq_status st = cq_rotation_init(r, CQ_ROTATE_HADAMARD, n, seed, stream, arena, err);
    if (st != CQ_ERR_UNSUPPORTED) return st;
    *arena = before;
    return cq_rotation_init(r, CQ_ROTATE_ORTHOGONAL, n, seed, stream, arena, err);
}

CQUANT_DEF cq_status cq_rotate_plan_auto(cq_rotate_plan *plan, const cq_context *ctx, const cq_model *m, uint64_t seed,
                                         cq_arena *arena, cq_error *err) {
    cq_rotation counted;
    size_t scratch, most;
    cq_status st;
    plan->enabled = true;
    plan->r2 = (cq_rotation *)cq_alloc(arena, m->layers, sizeof(cq_rotation));
    if ((st = cq__rotation_auto(&plan->r1, m->hidden, seed, 0, arena, err)) != CQ_OK) return st;
    most = cq_rotation_scratch(ctx, &plan->r1);
    for (size_t l = 0; l < m->layers; l++) {
        cq_rotation *r = arena->base ? (plan->r2 ? &plan->r2[l] : NULL) : &counted;
        if (!r) break;
        if ((st = cq__rotation_auto(r, m->head_dim, seed, 1 + l, arena, err)) != CQ_OK) return st;
        scratch = cq_rotation_scratch(ctx, r);
        most = scratch > most ? scratch : most;
    }
    plan->scratch = cq_alloc(arena, most, 1);
    return arena->failed ? cq_fail(err, CQ_ERR_MEMORY, "arena too small for the rotations") : CQ_OK;
}

static bool cq__rotates(const cq_rotate_plan *plan) { return plan && plan->enabled; }

/* Parts of a block in order: its norm, its q and k norms, then each linear and its bias. false past its last. */
static bool cq__block_part(const cq_model *m, size_t block, size_t index, cq_part *part) {
    const cq_block *b = &m->blocks[block];
    const cq_block_desc *d = b->desc;
    cq_str empty = cq__str(NULL, 0), name = d->prefix, leaf = empty;
    const char *suffix = ".weight";
    part->block = block;
    part->role = CQ_ROLE_COUNT;
    part->rows = 1;
    part->cols = m->head_dim;
    part->matrix = false;
    part->format = CQ_F32;
    if (index-- == 0) {
        part->kind = CQ_PART_BLOCK_NORM;
        part->cols = m->hidden;
        name = d->pre;
    } else if (b->q_norm && index-- == 0) {
        part->kind = CQ_PART_Q_NORM;
        leaf = d->q_norm;
    } else if (b->k_norm && index-- == 0) {
        part->kind = CQ_PART_K_NORM;
        leaf = d->k_norm;
    } else {
        size_t r = 0;
        for (; r < CQ_ROLE_COUNT; r++) {
            if (!b->lin[r].w.rows) continue;
            part->kind = CQ_PART_LINEAR;
            if (index-- == 0) break;
            part->kind = CQ_PART_BIAS;
            if (b->lin[r].bias && index-- == 0) break;
        }
        if (r == CQ_ROLE_COUNT) return false;
        part->role = (cq_role)r;
        leaf = d->role[r].name;
        if (part->kind == CQ_PART_LINEAR) {
            part->rows = b->lin[r].w.rows;
            part->cols = b->lin[r].w.cols;
            part->matrix = true;
            part->format = b->lin[r].w.format;
        } else {
            part->cols = b->lin[r].w.rows;
            suffix = ".bias";
        }
    }
    part->name_len = cq__path(part->name, sizeof part->name, m->arch.layers, b->layer, name, leaf, suffix);
    return true;
}

CQUANT_DEF bool cq_model_part(const cq_model *m, const cq_rotate_plan *plan, size_t index, cq_part *part) {
    cq_str empty = cq__str(NULL, 0), path;
    part->role = CQ_ROLE_COUNT;
    part->block = 0;
    part->rows = m->vocab;
    part->cols = m->hidden;
    part->matrix = true;
    if (index == 0) {
        part->kind = CQ_PART_EMBED;
        part->format = m->embed.format;
        path = m->arch.embed;
    } else {
        index--;
        for (size_t b = 0; b < m->block_count; b++)
            for (size_t i = 0; cq__block_part(m, b, i, part); i++)
                if (index-- == 0) return true;
        part->role = CQ_ROLE_COUNT;
        part->block = 0;
        part->matrix = index != 0;
        part->cols = m->hidden;
        if (index == 0) {
            part->kind = CQ_PART_NORM;
            part->rows = 1;
            part->format = CQ_F32;
            path = m->arch.norm;
        } else if (index == 1 && (!m->tied || cq__rotates(plan))) {
            part->kind = CQ_PART_HEAD;
            part->rows = m->vocab;
            part->format = m->head.w.format;
            path = m->arch.head;
        } else {
            return false;
        }
    }
    part->name_len = cq__path(part->name, sizeof part->name, path, 0, empty, empty, ".weight");
    return true;
}

static void cq__vector(float *out, const unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = p ? cq__f32(p + 4 * i) : 1.0f;
}
static void cq__fold_gain(float *w, size_t rows, size_t cols, const unsigned char *gain) {
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < cols; k++) w[r * cols + k] = w[r * cols + k] * cq__f32(gain + 4 * k);
}

CQUANT_DEF cq_status cq_part_read(const cq_context *ctx, const cq_model *m, const cq_rotate_plan *plan,
                                  const cq_part *part, size_t row, size_t n, float *out, cq_error *err) {
    const cq_block *b = part->kind == CQ_PART_EMBED || part->kind == CQ_PART_HEAD || part->kind == CQ_PART_NORM
                            ? NULL
                            : &m->blocks[part->block];
    const cq_tensor *w = part->kind == CQ_PART_EMBED    ? &m->embed
                         : part->kind == CQ_PART_HEAD   ? &m->head.w
                         : part->kind == CQ_PART_LINEAR ? &b->lin[part->role].w
                                                        : NULL;
    const cq_rotation *r2 = cq__rotates(plan) && b ? &plan->r2[b->layer] : NULL;
    cq_status st = CQ_OK;
    if (row > part->rows || n > part->rows - row ||
        ((row || n != part->rows) && part->kind != CQ_PART_EMBED && part->kind != CQ_PART_HEAD))
        return cq_fail_at(err, CQ_ERR_ARG, "this part can only be read whole", part->name, part->name_len, row,
                          (int64_t)n);
    for (size_t r = 0; w && r < n; r++) cq_tensor_row(w, row + r, out + r * part->cols);
    switch (part->kind) {
    case CQ_PART_EMBED:
        if (cq__rotates(plan)) st = cq_rotate_rows_f32(ctx, &plan->r1, out, n, part->cols, part->cols, plan->scratch);
        break;
    case CQ_PART_HEAD:
        if (!cq__rotates(plan)) break;
        if (m->norm) cq__fold_gain(out, n, part->cols, m->norm);
        st = cq_rotate_rows_f32(ctx, &plan->r1, out, n, part->cols, part->cols, plan->scratch);
        break;
    case CQ_PART_LINEAR: {
        const cq__role_row *role = &cq__roles[part->role];
        if (!cq__rotates(plan)) break;
        if (role->stream_in) {
            if (b->pre) cq__fold_gain(out, n, part->cols, b->pre);
            st = cq_rotate_rows_f32(ctx, &plan->r1, out, n, part->cols, part->cols, plan->scratch);
        }
        if (!st && role->heads_in) st = cq_rotate_rows_f32(ctx, r2, out, n, part->cols, part->cols, plan->scratch);
        if (!st && role->heads_out) st = cq_rotate_cols_f32(ctx, r2, out, n, part->cols, part->cols, plan->scratch);
        if (!st && role->stream_out)
            st = cq_rotate_cols_f32(ctx, &plan->r1, out, n, part->cols, part->cols, plan->scratch);
        break;
    }
    case CQ_PART_BIAS:
        cq__vector(out, b->lin[part->role].bias, part->cols);
        if (!cq__rotates(plan)) break;
        if (cq__roles[part->role].heads_out)
            st = cq_rotate_rows_f32(ctx, r2, out, 1, part->cols, part->cols, plan->scratch);
        if (!st && cq__roles[part->role].stream_out)
            st = cq_rotate_rows_f32(ctx, &plan->r1, out, 1, part->cols, part->cols, plan->scratch);
        break;
    case CQ_PART_NORM: cq__vector(out, cq__rotates(plan) ? NULL : m->norm, part->cols); break;
    case CQ_PART_BLOCK_NORM: cq__vector(out, cq__rotates(plan) ? NULL : b->pre, part->cols); break;
    case CQ_PART_Q_NORM: cq__vector(out, b->q_norm, part->cols); break;
    case CQ_PART_K_NORM: cq__vector(out, b->k_norm, part->cols); break;
    }
    if (!st) return CQ_OK;
    return cq_fail_at(err, st, "a rotation does not fit this part", part->name, part->name_len, UINT64_MAX, INT64_MIN);
}

/* ===================================================================================================================
   [LESSON 9 quantizing a model]
   Block after block, and within it group after group of linears that share an input: run all calibration samples up to
   that input, add up its Hessian, factor it once, solve each linear, and put the quantised weights in its place, so
   that everything after it is calibrated on what it will really see ("true sequential"). At the end of a block its
   output, computed with quantised weights, is the input of the next.
   ================================================================================================================== */
typedef struct cq__calibration {
    const cq_context *ctx;
    cq_hessian h;
} cq__calibration;
static void cq__calibrate_tap(void *user, size_t block, size_t group, const float *x, size_t ldx, size_t rows,
                              size_t first_row) {
    cq__calibration *c = (cq__calibration *)user;
    (void)block, (void)group, (void)first_row;
    cq_hessian_add(c->ctx, &c->h, x, ldx, rows, NULL, NULL);
}

/* Float arrays and little-endian tensors are the same bytes on little-endian machines; elsewhere they are turned. */
static void cq__floats_to_le(float *x, size_t n) {
    static const uint16_t one = 1;
    if (*(const unsigned char *)&one) return;
    for (size_t i = 0; i < n; i++) cq__put32((unsigned char *)(x + i), cq__bits(x[i]));
}

typedef struct cq__quantize_run {
    const cq_context *ctx;
    const cq_model *m;
    const cq_quantize_desc *desc;
    cq_gptq_desc gptq; /* resolved */
    char *name;        /* for errors */
    size_t name_size;
    cq_arena *arena;
    cq_error *err;
    cq_session s;
    float *x;      /* (samples * seq_len, hidden) */
    size_t peak, done, total;
} cq__quantize_run;

/* Memory of one step is given back by setting `used` back; the dry run remembers the peak. */
static void cq__release(cq__quantize_run *q, size_t mark) {
    if (q->arena->used > q->peak) q->peak = q->arena->used;
    if (!q->arena->failed) q->arena->used = mark;
}
static bool cq__tick(cq__quantize_run *q) {
    q->done++;
    return !q->desc->progress || q->desc->progress(q->desc->user, q->done, q->total);
}

/* all samples through a block, up to tap->stop; the stream is put back when the block is complete */
static cq_status cq__run_samples(cq__quantize_run *q, const cq_block *b, const cq_tap *tap) {
    size_t row = q->m->hidden * q->desc->seq_len;
    cq_input in;
    cq__fill(&in, 0, sizeof in);
    in.n = q->desc->seq_len;
    cq_prepare(&q->s, &in);
    for (size_t i = 0; i < q->desc->samples; i++) {
        cq__copy(q->s.x, q->x + i * row, row * sizeof(float));
        cq_run_block(&q->s, b, &in, tap);
        if (!tap) cq__copy(q->x + i * row, q->s.x, row * sizeof(float));
        if (!cq__tick(q)) return cq_fail(q->err, CQ_ERR_CANCELLED, "cancelled");
    }
    return CQ_OK;
}

static cq_format cq__int_format(unsigned bits) {
    return bits == 2 ? CQ_INT2 : bits == 3 ? CQ_INT3 : bits == 4 ? CQ_INT4 : CQ_INT8;
}

/* the solver knows rows and columns, not names */
static cq_status cq__quantize_fail(cq__quantize_run *q, size_t index, cq_role role, cq_status st) {
    if (q->err) {
        q->err->name = q->name;
        q->err->name_len = cq_module_name(q->m, index, role, q->name, q->name_size);
    }
    return st;
}

/* |W - Q|^2 / |W|^2: the loss when nothing is known of the inputs */
static double cq__weight_loss(const cq_gptq_desc *desc, const cq_gptq_result *q, const float *w, size_t rows,
                              size_t cols) {
    double error = 0.0, norm = 0.0;
    size_t size = desc->group_size ? desc->group_size : cols, groups = cq_gptq_groups(desc, cols);
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < cols; k++) {
            double v = (double)w[r * cols + k];
            double e = v - (double)cq_grid_value(q->grids[r * groups + k / size], q->codes[r * cols + k]);
            error += e * e;
            norm += v * v;
        }
    return norm > 0.0 ? error / norm : 0.0;
}

/* One linear: values (rows, cols) holds its weights as float, and afterwards what its codes stand for. */
static cq_status cq__quantize_linear(cq__quantize_run *q, const cq_block *b, size_t index, cq_role role,
                                     const cq_factor *factor, uint64_t tokens, float *values) {
    const cq_tensor *w = &b->lin[role].w;
    cq_gptq_desc desc, wish = q->gptq;
    cq_gptq_result result;
    cq_module module;
    size_t mark = q->arena->used, groups;
    unsigned char *packed;
    bool dry = !q->arena->base, skip = false;
    cq_status st;
    cq__fill(&module, 0, sizeof module);
    module.part.kind = CQ_PART_LINEAR;
    module.part.block = index;
    module.part.role = role;
    module.part.rows = w->rows;
    module.part.cols = w->cols;
    module.part.matrix = true;
    module.part.format = w->format;
    module.part.name_len = cq_module_name(q->m, index, role, module.part.name, sizeof module.part.name);
    if (q->desc->policy)
        cq_policy_resolve(q->desc->policy, module.part.name, module.part.name_len, &wish, &skip);
    st = cq_gptq_resolve(&desc, &wish, w->cols, q->err);
    if (st) return cq__quantize_fail(q, index, role, st);
    desc.group_size = wish.group_size; /* "whole row" stays 0 */
    module.desc = &desc;
    module.values = values;
    module.tokens = tokens;
    if (skip) {
        st = cq_tensor_init(&module.tensor, CQ_F32, CQ_ROWS, w->rows, w->cols, 0, false, q->err);
        if (st) return st;
        if (!dry && !q->desc->emit(q->desc->user, &module)) return cq_fail(q->err, CQ_ERR_IO, "the output failed");
        if (!dry && !cq__tick(q)) return cq_fail(q->err, CQ_ERR_CANCELLED, "cancelled");
        return CQ_OK;
    }
    bool packs = desc.order != CQ_GPTQ_ACT_GROUPS && (desc.group_size % CQ__BLOCK == 0 || desc.group_size >= w->cols);
    if (packs && (st = cq_tensor_init(&module.tensor, cq__int_format(desc.bits), CQ_PANELS, w->rows, w->cols,
                                      desc.group_size >= w->cols ? 0 : desc.group_size, desc.asym, q->err)) != CQ_OK)
        return st;
    groups = cq_gptq_groups(&desc, w->cols);
    result.codes = (uint8_t *)cq_alloc(q->arena, w->rows, w->cols);
    result.grids = (cq_grid *)cq_alloc(q->arena, w->rows, groups * sizeof(cq_grid));
    result.g_idx = desc.order == CQ_GPTQ_ACT_GROUPS ? (uint32_t *)cq_alloc(q->arena, w->cols, sizeof(uint32_t)) : NULL;
    packed = packs ? (unsigned char *)cq_alloc(q->arena, module.tensor.bytes, 1) : NULL;
    result.report = factor ? &module.report : NULL;
    if (q->arena->failed) return cq_fail(q->err, CQ_ERR_MEMORY, "arena too small to quantise a linear");
    if (factor) {
        st = cq_gptq_solve(q->ctx, &desc, factor, values, w->cols, w->rows, &result, q->arena, q->err);
        if (st) return cq__quantize_fail(q, index, role, st);
    } else if (!dry) {
        st = cq_gptq_rtn(&desc, values, w->cols, w->rows, w->cols, &result, q->err);
        if (st) return cq__quantize_fail(q, index, role, st);
        module.report.loss = module.report.rtn_loss = cq__weight_loss(&desc, &result, values, w->rows, w->cols);
    }
    if (!dry) {
        cq_gptq_dequantize(&desc, &result, w->rows, w->cols, values);
        for (size_t p = 0; packs && p < cq_panel_count(&module.tensor); p++)
            cq_pack_panel(&module.tensor, packed, p, result.codes + p * CQ__ROWS * w->cols, w->cols,
                          result.grids + p * CQ__ROWS * groups, groups);
        module.tensor.data = packed;
        module.codes = result.codes;
        module.grids = result.grids;
        module.g_idx = result.g_idx;
        if (!q->desc->emit(q->desc->user, &module)) return cq_fail(q->err, CQ_ERR_IO, "the output failed");
        if (!cq__tick(q)) return cq_fail(q->err, CQ_ERR_CANCELLED, "cancelled");
    }
    cq__release(q, mark);
    return CQ_OK;
}

static cq_status cq__quantize_block(cq__quantize_run *q, size_t index) {
    const cq_block *source = &q->m->blocks[index];
    bool dry = !q->arena->base, calibrate = !q->desc->rtn;
    cq_block b;
    float *values[CQ_ROLE_COUNT];
    cq_role roles[CQ_ROLE_COUNT];
    size_t mark = q->arena->used;
    cq_status st;
    cq_part part;
    cq__copy(&b, source, sizeof b);
    if (cq__rotates(q->desc->plan)) b.pre = NULL; /* its gain is folded into the readers */
    for (size_t i = 0; cq__block_part(q->m, index, i, &part); i++) {
        float *v;
        if (part.kind != CQ_PART_LINEAR && part.kind != CQ_PART_BIAS) continue;
        v = (float *)cq_alloc(q->arena, part.rows, part.cols * sizeof(float));
        if (part.kind == CQ_PART_LINEAR) values[part.role] = v;
        if (q->arena->failed) return cq_fail(q->err, CQ_ERR_MEMORY, "arena too small for the weights of a block");
        if (dry) continue;
        if ((st = cq_part_read(q->ctx, q->m, q->desc->plan, &part, 0, part.rows, v, q->err)) != CQ_OK) return st;
        cq__floats_to_le(v, part.rows * part.cols);
        if (part.kind == CQ_PART_BIAS) {
            b.lin[part.role].bias = (const unsigned char *)v;
        } else {
            cq_tensor *t = &b.lin[part.role].w;
            if ((st = cq_tensor_init(t, CQ_F32, CQ_ROWS, part.rows, part.cols, 0, false, q->err)) != CQ_OK) return st;
            t->data = (const unsigned char *)v;
        }
    }
    for (size_t group = 0;; group++) {
        size_t n = cq_block_group(source, group, roles), group_mark = q->arena->used;
        cq__calibration c;
        cq_factor factor;
        if (!n) break;
        c.ctx = q->ctx;
        c.h.tokens = 0;
        if (calibrate) {
            cq_tap tap;
            cq_hessian_alloc(&c.h, q->arena, source->lin[roles[0]].w.cols);
            if (q->arena->failed) return cq_fail(q->err, CQ_ERR_MEMORY, "arena too small for a Hessian");
            tap.fn = cq__calibrate_tap;
            tap.user = &c;
            tap.stop = group;
            if (!dry && (st = cq__run_samples(q, &b, &tap)) != CQ_OK) return st;
            st = cq_gptq_factor(q->ctx, &factor, &c.h, &q->gptq, q->arena, q->err);
            if (st) return cq__quantize_fail(q, index, roles[0], st);
        }
        for (size_t i = 0; i < n; i++) {
            size_t count = source->lin[roles[i]].w.rows * source->lin[roles[i]].w.cols;
            if (!dry) cq__floats_to_le(values[roles[i]], count); /* back to floats, and forth again */
            st = cq__quantize_linear(q, source, index, roles[i], calibrate ? &factor : NULL, c.h.tokens,
                                     dry ? NULL : values[roles[i]]);
            if (st) return st;
            if (!dry) cq__floats_to_le(values[roles[i]], count);
        }
        cq__release(q, group_mark);
    }
    if (calibrate && !dry && (st = cq__run_samples(q, &b, NULL)) != CQ_OK) return st;
    cq__release(q, mark);
    return CQ_OK;
}

CQUANT_DEF cq_status cq_quantize_model(const cq_context *ctx, cq_model *m, const cq_quantize_desc *desc,
                                       cq_arena *arena, cq_error *err) {
    cq__quantize_run q;
    cq_session_desc sd;
    bool dry = !arena->base;
    size_t tokens = 0;
    cq_role roles[CQ_ROLE_COUNT];
    cq_part embed;
    cq_status st;
    cq__fill(&q, 0, sizeof q);
    q.ctx = ctx;
    q.m = m;
    q.desc = desc;
    q.arena = arena;
    q.err = err;
    q.name = m->name;
    q.name_size = sizeof m->name;
    if (!dry && !desc->emit) return cq_fail(err, CQ_ERR_ARG, "quantising a model needs somewhere to put it: emit");
    if ((st = cq_gptq_resolve(&q.gptq, &desc->gptq, m->hidden, err)) != CQ_OK) return st;
    q.gptq.group_size = desc->gptq.group_size; /* "whole row" is resolved for each linear */
    if (!desc->rtn) {
        if (!desc->samples || !desc->seq_len || (!desc->ids && !dry))
            return cq_fail(err, CQ_ERR_ARG, "calibration needs at least one sample of at least one token");
        if (!cq__mul(desc->samples, desc->seq_len, &tokens))
            return cq_fail(err, CQ_ERR_RANGE, "too many calibration tokens");
        cq__fill(&sd, 0, sizeof sd);
        sd.max_tokens = desc->seq_len;
        if ((st = cq_session_init(&q.s, ctx, m, &sd, arena, arena, err)) != CQ_OK) return st;
        q.x = (float *)cq_alloc(arena, tokens, m->hidden * sizeof(float));
        if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for the calibration activations");
    }
    for (size_t i = 0; i < m->block_count; i++)
        for (size_t g = 0;; g++) {
            size_t n = cq_block_group(&m->blocks[i], g, roles);
            if (!n) {
                q.total += desc->rtn ? 0 : desc->samples;
                break;
            }
            q.total += n + (desc->rtn ? 0 : desc->samples);
        }
    if (!desc->rtn && !dry) {
        (void)cq_model_part(m, desc->plan, 0, &embed);
        for (size_t t = 0; t < tokens; t++) {
            if (desc->ids[t] < 0 || (size_t)desc->ids[t] >= m->vocab)
                return cq_fail_at(err, CQ_ERR_RANGE, "a calibration id is outside the vocabulary", NULL, 0, t,
                                  desc->ids[t]);
            st = cq_part_read(ctx, m, desc->plan, &embed, (size_t)desc->ids[t], 1, q.x + t * m->hidden, err);
            if (st) return st;
        }
    }
    for (size_t i = 0; i < m->block_count; i++)
        if ((st = cq__quantize_block(&q, i)) != CQ_OK) return st;
    if (dry && q.peak > arena->used) arena->used = q.peak;
    return CQ_OK;
}

#ifdef __cplusplus
}
#endif

#if defined(__clang__)
#pragma STDC FP_CONTRACT DEFAULT
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif /* CQUANT_IMPLEMENTATION */
