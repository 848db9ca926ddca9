/* cquant_models.h - v0.7.4 - models: from a checkpoint's bytes to text

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
       if (cq_model_open(&model, &file, &arena, &err)) return fail(&err);
       desc.max_tokens = 128;
       if (cq_session_init(&session, &ctx, &model, &desc, &arena, &arena, &err)) return fail(&err);
       in.ids = ids;
       in.n = 5;
       if (cq_forward(&session, &in, &err)) return fail(&err);
       cq_logits(&session, NULL, 5, logits);                     // (5, model.vocab)

   DOES NOT: allocate, read files, start threads, print, keep global state; train; run on a GPU; render chat templates.

   CONTENTS  declarations  [JSON] [WEIGHTS] [SAFETENSORS] [CQ FILE] [CHECKPOINTS] [TOKENIZER] [ARCHITECTURES] [MODELS]
                           [SESSIONS] [PARTS] [QUANTIZE A MODEL] [GENERATE]
             lessons       [LESSON 1 json] [LESSON 2 files] [LESSON 3 tokenizer] [LESSON 4 describing a model]
                           [LESSON 5 binding] [LESSON 6 the forward pass] [LESSON 7 generating]
                           [LESSON 8 rotating a model] [LESSON 9 quantizing a model]

   ONE DESCRIPTION  An architecture is a few lines of text, [LESSON 4]. Running, calibrating, rotating, quantising and
   exporting all follow from it; no function below knows the name of a model.

   STACK  Under 1 KB a call (gcc 12 -O2), but the products, see cquant.h.

   HOSTILE INPUT  Everything that comes from outside is checked before it is used: sizes by checked arithmetic, extents,
   duplicates, depths, counts, ids. What is wrong is a status with a position and a name, see [STATUS] in cquant.h.

   Licence: see the end of cquant.h. */
#ifndef CQUANT_MODELS_H
#define CQUANT_MODELS_H

#include "cquant.h"
#include "cquant_gptq.h"
#include "cquant_rotate.h"

#define CQUANT_MODELS_VERSION_NUM 704
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
        12  4  tensors                                 12  1  format: a cq_format
        16  8  head_bytes                              13  1  layout   0 rows 1 panels    (cquant.h, LESSON 5)
        24  8  file_bytes                              14  1  1: asymmetric, zeros are stored
        32  8  checksum of the head, with              15  1  dimensions: 0 to 4
               these 8 bytes taken as zero             16  4  group_size; 0 for float formats
        40  8  checksum of the data                    20  1  activations: 8 int8, 0 float; 3 bytes of zero
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
   [CHECKPOINTS]  quantised checkpoints of others, GPTQ and compressed-tensors, read as packed tensors

   Both pack integers of b bits as streams of 32-bit words, low bits first, across words where it falls so. A linear P,
   N outputs, K inputs, G groups of inputs; a weight is scale * (code - zero).

       GPTQ (AutoGPTQ, GPTQModel)                              compressed-tensors (llm-compressor), pack-quantized
       P.qweight int32 (words(K), N)   a stream a column       P.weight_packed int32 (N, words(K))      a stream a row
       P.qzeros  int32 (G, words(N))   a stream a row          P.weight_zero_point int32 (words(N), G)  a stream a
                 "gptq": zero - 1; "gptq_v2": zero                       column; none: the middle code
       P.scales  fp16  (G, N)                                  P.weight_scale float (N, G)
       P.g_idx   int32 (K), the group of each input            P.weight_g_idx int32 (K)
                                                               P.weight_shape int64 (2): N, K
       words(n) = ceil(n * b / 32)

   compressed-tensors has small floats too; a weight is scale * number:
       mxfp4-pack-quantized   P.weight_packed uint8 (N, K / 2)      e2m1, the same streams; P.weight_scale uint8, E8M0,
       mxfp6-pack-quantized   P.weight_packed uint8 (N, 3 K / 4)    e2m3                    (N, K / 32)
       mxfp8-quantized        P.weight F8_E4M3 (N, K)
       float-quantized        P.weight F8_E4M3 (N, K)               P.weight_scale float (N, G), or one for all
   ================================================================================================================== */
/* Number `index` of a stream: its bits are index * bits ... of the words, which are `stride` words apart. 2 to 8 bits,
   index below 2^28. put: where there are zeros. */
CQUANT_DEF uint32_t cq_bits_get(const unsigned char *words, size_t stride, size_t index, unsigned bits);
CQUANT_DEF void cq_bits_put(unsigned char *words, size_t stride, size_t index, unsigned bits, uint32_t number);
CQUANT_DEF size_t cq_bits_words(size_t count, unsigned bits);

/* config, object: the value of quantization_config in config.json, or all of quantize_config.json. stored: the tensors
   of the checkpoint. *out: the same with every quantised linear as one tensor P.weight, (N, K) also where floats are
   stored the other way, dtype PACKED. Codes go into panels as they are where panels can hold them: groups are runs of
   a multiple of 16 columns, or whole rows, and the scales are what the format stores. Elsewhere the panels are of floats, the
   exact values. Names, file numbers and all other tensors are views of `stored`. With arena->base NULL (the size query)
   all is checked, and out->list is NULL.
   Everything is checked: dtypes, shapes against bits and groups, group numbers, scales, numbers. CQ_ERR_UNSUPPORTED
   names what this version does not read; err->name is the tensor or the key at fault. */
CQUANT_DEF cq_status cq_checkpoint_read(const cq_context *ctx, const cq_json *config, uint32_t object,
                                        const cq_weights *stored, cq_arena *arena, cq_weights *out, cq_error *err);

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

typedef enum cq_block_kind {
    CQ_BLOCK_ATTENTION, CQ_BLOCK_MLA, CQ_BLOCK_MLP, CQ_BLOCK_MOE, /* attention, latent attention, MLP, experts */
    CQ_BLOCK_MAMBA, CQ_BLOCK_MAMBA2, CQ_BLOCK_CONV, CQ_BLOCK_DELTA, CQ_BLOCK_LIGHTNING, /* recurrent mixers */
    CQ_BLOCK_OPAQUE, /* known by its linears only: quantised, not run */
    CQ_BLOCK_KINDS
} cq_block_kind;

/* The linears a block can have. One table, in [LESSON 4], says which share an input, what they read and write. */
typedef enum cq_role {
    CQ_ROLE_Q, CQ_ROLE_K, CQ_ROLE_V, CQ_ROLE_QK, CQ_ROLE_KV, CQ_ROLE_QKV, CQ_ROLE_OUT_GATE, CQ_ROLE_O, /* attention */
    CQ_ROLE_Q_A, CQ_ROLE_KV_A, CQ_ROLE_Q_B, CQ_ROLE_KV_B,                                  /* and its latent form */
    CQ_ROLE_GATE, CQ_ROLE_UP, CQ_ROLE_GATE_UP, CQ_ROLE_DOWN,                               /* MLP */
    CQ_ROLE_ROUTER, CQ_ROLE_SHARED_MIX, CQ_ROLE_MIX2, CQ_ROLE_EXPERT_IN, CQ_ROLE_EXPERT_OUT, /* mixture of experts */
    CQ_ROLE_EXPERT_GATE, CQ_ROLE_EXPERT_UP, CQ_ROLE_EXPERT_GATE_UP, CQ_ROLE_EXPERT_DOWN,
    CQ_ROLE_SHARED_GATE, CQ_ROLE_SHARED_UP, CQ_ROLE_SHARED_GATE_UP, CQ_ROLE_SHARED_DOWN,
    CQ_ROLE_IN, CQ_ROLE_X, CQ_ROLE_DT, CQ_ROLE_OUT,                                        /* recurrent mixers */
    CQ_ROLE_QKVZ, CQ_ROLE_BA, CQ_ROLE_Z, CQ_ROLE_B, CQ_ROLE_A,
    CQ_ROLE_MID, CQ_ROLE_MID2,                                                             /* opaque blocks */
    CQ_ROLE_COUNT
} cq_role;

typedef struct cq_word { /* a word of a block: KEY=VALUE */
    uint8_t block, key;  /* index into arch.block; which word, see [LESSON 4] */
    cq_str value;
} cq_word;

typedef struct cq_block_desc {
    cq_block_kind kind;
    uint8_t list;         /* which `layers` statement it belongs to */
    cq_str prefix, label; /* path of its module in the layer, "-" for none; what tells it from others of its kind */
} cq_block_desc;

typedef struct cq_let {
    cq_str name, expr;
} cq_let;

#define CQ_MAX_BLOCKS 12  /* blocks in the description of a layer, all lists together */
#define CQ_MAX_WORDS 256
#define CQ_MAX_LETS 48
#define CQ_MAX_LISTS 2    /* `layers` statements */
#define CQ_MAX_LINES 16   /* of `need`, `ignore`, `carry` each; one of the first two is in all descriptions */
#define CQ_MAX_INPUTS 2   /* `input` statements */

typedef struct cq_arch {
    cq_str text, name;  /* the description; the model_type (of several, the one looked for) */
    cq_str names;       /* all model_types */
    cq_str blocked;     /* why it cannot run; n = 0: it can */
    cq_str config, root, norm, tie, norms, longest; /* what these statements say */
    cq_str embed, position, head, side;    /* their paths; their words are those of pseudo-blocks, see CQ__EMBED */
    cq_str input[CQ_MAX_INPUTS], codebook; /* linears, with words */
    size_t inputs;
    cq_let list[CQ_MAX_LISTS];             /* layers: name is the path with '#', expr the count */
    size_t lists;
    cq_str need[CQ_MAX_LINES], ignore[CQ_MAX_LINES], carry[CQ_MAX_LINES];
    size_t needs, ignores, carries;
    cq_let let[CQ_MAX_LETS];
    size_t lets;
    cq_block_desc block[CQ_MAX_BLOCKS];
    size_t blocks;
    cq_word word[CQ_MAX_WORDS];
    size_t words;
    bool diffusion, shift; /* generation: masked diffusion; the logits of row p predict token p + 1 */
} cq_arch;

CQUANT_DEF const char *cq_arch_builtin(size_t index); /* description texts; NULL ends */
/* Parses one description, after those it is `like`; err->where is the byte offset in text. */
CQUANT_DEF cq_status cq_arch_parse(cq_arch *arch, const char *text, size_t len, cq_error *err);
/* The built-in description of a model_type; CQ_ERR_UNSUPPORTED names it. */
CQUANT_DEF cq_status cq_arch_find(cq_arch *arch, const char *model_type, size_t len, cq_error *err);
/* The description as one text without `like`, as .cq files hold it. Writes at most size bytes; returns the length. */
CQUANT_DEF size_t cq_arch_print(const cq_arch *arch, char *out, size_t size);
/* The names of linears in one group of a block, as the description has them ('#' for an expert's number), relative to
   the layer; false past the last. For lists and tests: a bound model has cq_block_group. */
CQUANT_DEF bool cq_arch_linear(const cq_arch *arch, size_t block, size_t group, size_t index, char *out, size_t size);

/* ===================================================================================================================
   [MODELS]  description + config.json + tensors = a model that runs
   ================================================================================================================== */
typedef struct cq_linear {
    cq_tensor w;               /* (out, in) */
    const unsigned char *bias; /* (out) fp32 little-endian, or NULL */
    cq_role role;
    uint32_t expert;           /* number of the expert; 0 elsewhere */
    cq_str name;               /* as the description has it, relative to the block's prefix */
    bool keep;                 /* stays in high precision */
    size_t column;             /* where its outputs begin in a row of the block's projections */
    const cq_named *stored, *stored_bias; /* where they come from: the tensor may hold all experts, or be transposed */
} cq_linear;

typedef enum cq_norm_kind { CQ_NORM_RMS, CQ_NORM_LAYER } cq_norm_kind;
typedef struct cq_norm {
    bool on;
    cq_norm_kind kind;
    float eps;
    const unsigned char *gain, *bias;           /* fp32 LE; NULL: 1, 0. A gain stored as w for 1 + w is 1 + w here */
    const cq_named *stored_gain, *stored_bias;
    bool plus_one;                              /* stored_gain is w of 1 + w */
    bool each;                                  /* one tensor for each head; stored_gain is the last of them */
    cq_str name;
} cq_norm;
enum { /* cq_block.norm */
    CQ_NORM_PRE, CQ_NORM_POST, CQ_NORM_AFTER, CQ_NORM_JOINT,
    CQ_NORM_Q, CQ_NORM_K, CQ_NORM_SUB,  /* q, k, sub_norm; latent attention: q_a, kv_a */
    CQ_NORM_V,
    CQ_NORM_COUNT,
    CQ_NORM_DT = CQ_NORM_Q, CQ_NORM_B = CQ_NORM_K, CQ_NORM_C = CQ_NORM_SUB, /* mamba */
    CQ_NORM_GATED = CQ_NORM_Q,                                              /* mamba2, delta, lightning */
    CQ_NORM_ROUTER = CQ_NORM_Q                                              /* moe */
};

typedef struct cq_param { /* a small tensor that is no linear and no norm, as fp32 LE; data NULL: there is none */
    const unsigned char *data;
    const cq_named *stored;
} cq_param;
enum { /* cq_block.param */
    CQ_PARAM_SINKS, CQ_PARAM_CHOICE_BIAS = 0, CQ_PARAM_ACT_P = 0, CQ_PARAM_ACT_N = 1,
    CQ_PARAM_EXPERT_SCALE = 1,
    CQ_PARAM_STREAM = 2, /* one number that the stream is multiplied with after the block */
    CQ_PARAM_CONV = 0, CQ_PARAM_CONV_BIAS, CQ_PARAM_A_LOG, CQ_PARAM_D, CQ_PARAM_DT_BIAS,
    CQ_PARAM_COUNT
};

typedef enum cq_activation {
    CQ_ACT_SILU, CQ_ACT_GELU, CQ_ACT_GELU_TANH, CQ_ACT_QUICK_GELU, CQ_ACT_RELU, CQ_ACT_RELU2, CQ_ACT_XIELU,
    CQ_ACT_SWIGLU_LIMIT, CQ_ACT_SIGMOID, CQ_ACT_SOFTPLUS
} cq_activation;
typedef enum cq_qkv_layout { CQ_QKV_CAT, CQ_QKV_GROUP, CQ_QKV_CODEGEN } cq_qkv_layout;
typedef enum cq_rope_style { CQ_ROPE_NONE, CQ_ROPE_HALF, CQ_ROPE_INTERLEAVED, CQ_ROPE_NEGATIVE } cq_rope_style;
typedef enum cq_qk_norm { CQ_QK_HEAD, CQ_QK_FULL, CQ_QK_HEADS } cq_qk_norm;
typedef enum cq_score { CQ_SCORE_SOFTMAX, CQ_SCORE_SIGMOID, CQ_SCORE_TOPK_SOFTMAX, CQ_SCORE_SPARSEMIXER } cq_score;

typedef struct cq_block {
    cq_block_kind kind;
    size_t desc, list, layer;     /* index of its description in arch.block; of its list of layers; its number there */
    cq_norm norm[CQ_NORM_COUNT];
    cq_param param[CQ_PARAM_COUNT];
    cq_linear *lin;               /* (linears) */
    size_t linears;
    uint16_t at[CQ_ROLE_COUNT];   /* 1 + index in lin of a role, its experts one after the other; 0: there is none */
    /* wiring: x += scale * post(f(in_scale * pre(x))), then after(x) */
    float scale, in_scale, keep;  /* keep != 0: x = keep * pre(x) + ... instead */
    bool beside, leads;           /* reads the stream as the block before read it; the next block is beside this one */
    bool apart;                   /* it leads blocks whose sum goes through a norm (the last one's), before it joins */
    bool late, adds_late;         /* its output joins the stream after the last block of the layer, which is this one */
    bool text, own;               /* of the text stream; attention sees the rows of its own stream only */
    /* attention */
    size_t heads, kv_heads, head_dim, v_dim, rope_dim, rope_at /* first turned dimension of a head */, rope;
    size_t window, chunk, block;  /* keys further back are not seen, nor those of other chunks, or of later blocks; 0 */
    size_t nope, q_rank, kv_rank; /* latent attention */
    cq_qkv_layout layout;
    cq_rope_style rope_style;
    cq_qk_norm qk_norm;
    bool causal, alibi, q_gate, qk_late, gate_head;
    cq_activation gate_act;       /* of the gate on attention's output */
    float scale_qk, alibi_scale, softcap, clip, k_scale, temper[3], q_scale, kv_scale;
    size_t cache_k, cache_v;      /* where its cache begins, for one slot: times max_tokens */
    size_t cache_scale;           /* int8: where the scales of its keys begin, likewise; then come those of values */
    size_t lender;                /* 1 + index of the block whose keys and values it reads; 0: it has its own */
    bool lends;                   /* later blocks read its keys and values */
    /* MLP and experts */
    size_t inter, s_inter, experts, identity /* more of them give their input back */, top_k, groups, top_groups;
    size_t latent;                /* width of what experts read and write; hidden without e_in */
    cq_activation act;
    cq_score score;
    bool group_top2, renorm, score_in, pairs, side; /* side: a row of the side table in place of up */
    float routed_scale, router_scale, gate_scale, limit, jitter;
    /* recurrent: heads, head_dim as above (delta: v_heads, v_dim; kv_heads, head_dim of keys) */
    size_t state_dim, kernel, rank, inner;
    bool norm_first;
    float dt_min, dt_max, mults[5];
    size_t state, state_size;     /* where its state begins, and how many floats it has */
    /* online rotations, in the model's list; NULL: none. Attention: queries and keys of each head, r3. MLP and experts:
       what `down` reads, r4. A smaller matrix repeats along the vector */
    const cq_hadamard *online;
} cq_block;

typedef struct cq_rope { /* one table of angles; blocks that agree share it */
    size_t dim;
    const float *inv_freq;       /* (dim / 2) */
    float scale;                 /* multiplies cos and sin */
    /* long contexts: another table (longrope), or another base (dynamic), when the sequence is longer than `limit` */
    size_t limit;
    const float *long_freq;      /* (dim / 2), or NULL */
    float long_scale;            /* multiplies cos and sin there */
    float theta, factor;         /* dynamic; factor 0: not */
} cq_rope;
#define CQ_MAX_ROPES 4
#define CQ_MAX_ONLINE CQ_MAX_BLOCKS /* a block of a description has at most one */

typedef struct cq_model { /* points into itself: do not copy or move it once it is bound */
    cq_arch arch;
    cq_json config;
    uint32_t text_config;        /* node of the text model's part; 0: the whole */
    cq_str root;
    size_t vocab, hidden, layers, context;
    size_t longest;              /* positions beyond are refused; 0: none */
    int32_t mask_id, eos_id, pad_id, bos_id; /* -1: none */
    bool tied, recurrent;        /* the head is the embedding; some block has a state instead of a cache */
    cq_rope rope[CQ_MAX_ROPES];
    size_t ropes;
    cq_hadamard online[CQ_MAX_ONLINE]; /* of the orders that blocks have; one for all blocks of one order */
    size_t onlines;
    cq_tensor embed;             /* (vocab, width): width is hidden unless embed_in */
    const cq_named *embed_stored;
    cq_tensor position;          /* learned positions (n, hidden); rows = 0: none */
    const cq_named *position_stored;
    size_t position_offset, sinusoid_steps;
    bool sinusoid;
    float embed_scale;
    cq_tensor side;              /* (ids, layers * side_width): a row for each layer; rows = 0: none */
    const cq_named *side_stored;
    cq_linear side_in;           /* from the embedding: (layers * side_width, hidden); w.rows = 0: none */
    cq_norm side_norm;           /* of side_width */
    float side_scale, side_in_scale, side_sum_scale;
    size_t side_width;
    cq_norm embed_norm, norm;    /* after the embedding; before the head */
    cq_linear embed_in, head_out; /* projections of opt-350m; w.rows = 0: none */
    cq_linear input[CQ_MAX_INPUTS], codebook; /* two streams: rows of text, a box; rows of the embedding */
    size_t codebook_rows;
    bool two_streams;
    cq_linear head;              /* (vocab, hidden) */
    cq_linear head_dense;        /* (hidden, hidden) before the head, then head_act and head_norm; w.rows = 0: none */
    cq_norm head_norm;
    cq_activation head_act;
    float head_scale, head_softcap;
    bool head_normalize;         /* rows of length 1 */
    cq_weights weights;          /* as given: the list must outlive the model */
    const unsigned char *used;   /* (weights.count) 1: part of the text model */
    cq_block *blocks;            /* in execution order */
    size_t block_count;
    size_t cache_dims, cache_heads, state_dims; /* elements of cache a slot; heads of keys and of values; of state */
    size_t parameters;
    char name[256];              /* storage for the name in an error */
} cq_model;

/* config: text of config.json (kept: must outlive the model); weights: all tensors. arch_text: a description to use
   instead of the built-in one, or NULL. Everything is checked: shapes against config, missing and undescribed tensors,
   keys without a value. Dry run: an arena with base NULL cannot bind (values are needed); use cq_model_bound. */
CQUANT_DEF cq_status cq_model_bind(cq_model *m, const char *config, size_t config_len, const cq_weights *weights,
                                   const char *arch_text, size_t arch_len, cq_arena *arena, cq_error *err);
CQUANT_DEF size_t cq_model_bound(size_t config_len, const cq_weights *weights, const char *arch_text,
                                 size_t arch_len); /* arena bytes that suffice */
/* Keys of config.json that other descriptions ask for, and this one does not, with a value that says something: perhaps
   what it stands for is missing here. The index-th of them; false past the last. */
CQUANT_DEF bool cq_model_unasked(const cq_model *m, size_t index, cq_str *key);
/* The model in an open .cq file: its configuration, tensors, and its own description if it has one. */
CQUANT_DEF cq_status cq_model_open(cq_model *m, const cq_file *file, cq_arena *arena, cq_error *err);
/* Models with a codebook: rows 0 .. rows - 1 of the embedding become the codebook's (rows, codebook.w.cols) through its
   linear, as the reference does when it loads; a new table in the arena. rows must be m->codebook_rows. */
CQUANT_DEF cq_status cq_model_fold_codebook(cq_model *m, const cq_context *ctx, const float *codebook, size_t rows,
                                            cq_arena *arena, cq_error *err);

/* A linear of a block (of one expert); NULL if there is none. */
CQUANT_DEF const cq_linear *cq_block_linear(const cq_block *b, cq_role role, size_t expert);
/* The full path of a linear ("model.layers.0.mlp.experts.3.up_proj"), zero-terminated into out; returns its length. */
CQUANT_DEF size_t cq_module_name(const cq_model *m, const cq_block *b, const cq_linear *l, char *out, size_t size);
CQUANT_DEF size_t cq_head_name(const cq_model *m, char *out, size_t size);
/* Linears with one input: a group; groups are in execution order. The index-th linear of a group, name by name and of
   one name expert by expert; NULL past the last (index 0: no such group). Routers and shared gates are in none. */
CQUANT_DEF const cq_linear *cq_block_group(const cq_block *b, size_t group, size_t index);
/* The index-th group of the layer that begins with block `first`, in the order in which they are quantised: block after
   block, but groups of several blocks that share an input (they stand beside each other and have one norm) follow each
   other; in layers with two streams both attentions, then both MLPs, the tokens' before the text's. false past the
   last. */
CQUANT_DEF bool cq_layer_group(const cq_model *m, size_t first, size_t index, const cq_block **block, size_t *group);
CQUANT_DEF const char *cq_role_name(cq_role role);
CQUANT_DEF const char *cq_block_name(cq_block_kind kind); /* "attn", "mla", "mlp", "moe", ... */

/* ===================================================================================================================
   [SESSIONS]  one arena, a static KV cache, and the forward pass
   ================================================================================================================== */
/* What a long job calls between pieces of its work, from the thread that asked for the job: so much of it is done, in
   units of a million operations, about: time is as good as proportional to it. false cancels: CQ_ERR_CANCELLED. */
typedef bool (*cq_progress)(void *user, size_t done, size_t total);

#define CQ_ACTS_FLOAT 32u
typedef struct cq_session_desc {
    size_t max_tokens; /* cache slots; required */
    size_t max_rows;   /* rows of one forward pass; 0: max_tokens */
    size_t tile;       /* rows computed together; 0: 64 */
    unsigned act_bits; /* activations of integer linears, per token. 0: of each as its tensor says (cq_tensor.act_bits).
                          8: int8 for all; CQ_ACTS_FLOAT: fp32 for all. 2 to 7: codes of so many bits in int8, to study
                          what they would cost: nothing is saved */
    cq_format cache;   /* what keys (after rope) and values are kept as. CQ_F32: as they are. CQ_F16: nearest, and no
                          further than 65504. CQ_INT8: symmetric codes, an fp32 scale for each token and head of keys,
                          and of values */
    unsigned kv_bits;  /* 0: 8. 2 to 7: codes of so many bits in the int8 cache, to study as well. Not 0: the cache is
                          CQ_INT8 without saying so */
    bool upstream_cache; /* DualStreamRoformer: decoding sees only the first key of single layers, as published */
    cq_progress progress; /* NULL, or: of each pass, called after each product of a tile of rows and each block's
                             attention; and of the head of a denoising step, anew, for each tile of the vocabulary or
                             head_rows rows. What is left when it cancels: see cq_forward, cq_generate_step */
    void *user;           /* the first argument of progress */
} cq_session_desc;

typedef struct cq_session {
    const cq_context *ctx;
    const cq_model *m;
    cq_session_desc desc;
    size_t rows;  /* rows of the last forward pass */
    size_t text_rows; /* two streams: cache slots before slot 0 that hold the text, see cq_forward_text */
    size_t next;  /* recurrent blocks: the slot that comes next */
    unsigned char *cache; /* keys (after rope) and values: of each attention block (kv_heads, max_tokens, dim), of
                             desc.cache: CQ_F32 in the machine's byte order */
    float *cache_scale; /* CQ_INT8: of each attention block (2, kv_heads, max_tokens), keys and values; else NULL */
    float *state; /* of the recurrent blocks */
    float *x;     /* (max_rows, hidden): the residual stream of the rows of the last pass */
    float *held;  /* (max_rows, hidden): the stream as blocks beside each other read it; NULL: no such blocks */
    float *late;  /* (max_rows, hidden): what joins the stream at the end of the layer, or NULL */
    float *q;     /* (max_rows, heads * head_dim), widest block */
    float *mixed; /* (max_rows, heads * v_dim): what attention gives; is q where the two are as wide */
    float *gate;  /* (max_rows, heads * v_dim) of a gated attention, or NULL */
    float *angles[CQ_MAX_ROPES]; /* (max_rows, 2, dim / 2): cos, sin */
    /* a tile of rows */
    float *xn, *proj, *y; /* normed input (tile, hidden); projections (tile, proj_dim); output (tile, hidden) */
    float *row;           /* one row of keys and values */
    cq_acts codes;        /* an int8 cache: a head of it, coded */
    cq_acts queries;      /* the same for queries: (CQ__QUERIES, 2) rows for each task, see cq__attend_int8 */
    float *scores;        /* score_dim for each task of attention, see cq__attend_item */
    float *route;         /* experts: scores (tile, experts), chosen weights (tile, top_k) and numbers, gathered rows */
    float *work;          /* recurrent blocks */
    float *side;          /* (max_rows + 1, layers * side_width): the side rows of each layer, and one to read into */
    unsigned char *online; /* scratch of online rotations: online_bytes for each task, or NULL */
    size_t proj_dim, score_dim, row_dim, online_bytes;
    cq_acts acts;         /* the input of the current group in int8 */
    bool acts_ready;
    bool cancelled;        /* by desc.progress: what is left of the pass was not computed */
    uint64_t done, total;  /* for desc.progress: operations of this pass, or of the head */
} cq_session;

/* Hot (activations) and cold (cache) memory apart; both may come from the same arena. */
CQUANT_DEF cq_status cq_session_init(cq_session *s, const cq_context *ctx, const cq_model *m,
                                     const cq_session_desc *desc, cq_arena *hot, cq_arena *cold, cq_error *err);

typedef struct cq_input {
    const int32_t *ids;       /* (n); or NULL: s->x already holds the rows (not with a side table) */
    size_t n;
    size_t slot;              /* rows go to cache slots slot .. slot + n - 1 */
    const uint32_t *slots;    /* (n) or to these, strictly ascending, and slot is not read; NULL: as slot says */
    size_t visible;           /* slots 0 .. visible - 1 are seen; 0: to the last of the rows' own. What is in them from
                                 before stays */
    const int32_t *positions; /* (n) rope positions; NULL: the slots */
    /* At most one mask. None: what the architecture does (everything, or causal, or windowed). */
    const uint8_t *keep;      /* (visible) 0 hides that key from every row; combined with the architecture's own */
    const uint8_t *allow;     /* (n, ld_mask) 0 hides key k from row r; replaces the architecture's own */
    const float *bias;        /* (n, ld_mask) added to the scaled scores; replaces the architecture's own */
    size_t ld_mask;
    /* for cq_run_block, cq_prepare and cq_embed, where slots count from the text; cq_forward sets them itself */
    bool text;                /* two streams: these rows are of the text stream */
    size_t text_rows;         /* slots 0 .. text_rows - 1 hold the text */
} cq_input;

/* Runs all blocks. Fully masked rows get attention output 0. CQ_ERR_RANGE names an id outside the vocabulary, or a slot
   that does not follow the one before. Recurrent blocks only go forward: a pass begins at slot 0 or where the last one
   ended, without masks. They, and models of two streams, take no `slots`. A row run anew, with all else in the cache as
   it was, comes out with the same bits. CQ_ERR_CANCELLED: the rows' own slots, and s->x, hold nothing of use, all other
   slots what they held. The same pass, run again, gives what it would have given; but recurrent blocks must begin
   again at slot 0, and after a text that was cancelled the text must be run again. */
CQUANT_DEF cq_status cq_forward(cq_session *s, const cq_input *in, cq_error *err);
/* Two streams: the text comes first: n rows of the first input (n, input[0].w.cols), and one of the second (a box) if
   the model has it. They fill n or n + 1 cache slots before those of the tokens, so max_tokens must be that much
   larger. */
CQUANT_DEF cq_status cq_forward_text(cq_session *s, const float *text, size_t n, const float *box, cq_error *err);
/* Logits of the rows given (indices into the last pass; NULL: the first n): out (n, vocab). */
CQUANT_DEF void cq_logits(cq_session *s, const uint32_t *rows, size_t n, float *out);

/* Calibration: called with the input of each group of linears, tile by tile. */
typedef struct cq_tap_point {
    const cq_block *block;
    size_t group;
    size_t expert;       /* whose input it is: a number, CQ_SHARED, or CQ_ALL (no experts here) */
    const float *x;      /* (rows, ldx) */
    size_t ldx, rows;
    size_t first_row;    /* of the pass; experts: rows are gathered and this is that of the tile */
    const float *weight; /* experts: (rows) routing weights, as they multiply the output; NULL: it is multiplied with 1,
                            or the tap asked for every row */
} cq_tap_point;
#define CQ_ALL SIZE_MAX
#define CQ_SHARED (SIZE_MAX - 1)
typedef enum cq_tap_rows { CQ_TAP_NONE, CQ_TAP_ROUTED, CQ_TAP_EVERY } cq_tap_rows;
typedef struct cq_tap {
    void (*fn)(void *user, const cq_tap_point *point);
    void *user;
    const cq_block *block; /* stop in this block (earlier ones run whole); NULL: fn is called in every block */
    size_t stop;           /* before this group's linears; SIZE_MAX: run the whole block */
    const uint8_t *experts; /* (experts + 1) cq_tap_rows of each, the shared one last: no work is done for it, for the
                              rows that the router sends there, or for every row. NULL: all of them, ROUTED. Only with
                              a group to stop at: what the block would put out is not complete */
} cq_tap;
/* One block over the rows in s->x (in->ids ignored). tap may be NULL. */
CQUANT_DEF void cq_run_block(cq_session *s, const cq_block *b, const cq_input *in, const cq_tap *tap);
CQUANT_DEF void cq_prepare(cq_session *s, const cq_input *in); /* rope tables; cq_forward does it itself */
CQUANT_DEF void cq_embed(cq_session *s, const cq_input *in);   /* ids to s->x; cq_forward does it itself */

/* ===================================================================================================================
   [PARTS]  every tensor that a written model has, in one order: exporting, rotating and quantising walk this list
   ================================================================================================================== */
typedef struct cq_rotate_stream { /* R1: what turns a residual stream */
    bool on;            /* it is rotated, and the norms that read it are folded */
    bool mean;          /* some norm of it takes the mean away, which R1 has to keep: then there is a mirror */
    const char *why;    /* not on: what stands in the way, */
    cq_str why_name;    /* and the first tensor that does; n = 0: it is none */
    cq_str name;        /* "r1", "r1_text", or as a configuration calls it */
    cq_rotation r;      /* of order 1: the norms are folded, and nothing turns */
    double *mirror;     /* (hidden), with mean: R1 is r, then a reflection in this vector; else NULL */
} cq_rotate_stream;
typedef enum cq_rotate_per { CQ_PER_MODEL, CQ_PER_LAYER, CQ_PER_MODULE } cq_rotate_per;
typedef struct cq_rotate_values { /* whose R2 a block has */
    cq_str name;        /* "r2", or as a configuration calls it */
    cq_rotate_per per;  /* one for all, one a layer, or one for each module that a pattern matches */
    size_t layer;       /* CQ_PER_LAYER: of which; blocks that read another layer's values have that one's */
    size_t first;       /* index of the first block that has this very matrix */
    size_t owner_len;   /* CQ_PER_MODULE: so much of the name of its `o` is the name of that module */
} cq_rotate_values;
typedef struct cq_rotate_note { /* what a configuration leaves open, and how it was closed */
    const struct cq_rotate_note *next;
    bool completed;     /* done although it does not say so, because exactness needs it; else a remark */
    const char *module; /* zero-terminated, with * for numbers; "": the model */
    const char *what, *why;
    size_t modules;     /* how many of them */
} cq_rotate_note;
typedef struct cq_rotate_plan {
    cq_rotate_stream r1[2]; /* of the model; of the text of two streams */
    cq_rotation *r2;        /* (block_count): between the values of attention and o; r2[b].n = 0: none; NULL: no R2 */
    cq_rotate_values *values; /* (block_count) */
    size_t r2_count;        /* blocks that have one */
    bool use_float64;       /* as a configuration has it, true otherwise: parts are best read with cq_part_read_f64 and
                               rounded once, to what they are stored as */
    const cq_rotate_note *notes; /* of a configuration; NULL: none */
    void *scratch;
    /* What the runtime is to do, see cq_rotate_plan_online */
    cq_rotation online[CQ_MAX_ONLINE];
    size_t onlines;
    uint8_t online_at[CQ_MAX_BLOCKS]; /* by block of the description: 1 + index in online; 0: none */
    void *online_scratch;
    char text[512], module[256]; /* storage for the name in an error, and while notes are made */
} cq_rotate_plan;

/* Derived from the description: R1 = random Hadamard of order hidden_size (random orthogonal where no Hadamard matrix
   is known), R2 = the same of order head_dim, one a block of attention; blocks that see each other's values have the
   same. Stream 0 of the seed is R1, stream 1 + layer its R2, stream 2^32 the text's R1. What cannot be rotated exactly
   is not: R1 when an uneven gain stays in the stream, R2 when something acts on single values of a head. plan NULL
   everywhere below means: as the checkpoint is. With arena->base NULL: the size query. CQ_ERR_UNSUPPORTED: neither is
   possible. */
CQUANT_DEF cq_status cq_rotate_plan_auto(cq_rotate_plan *plan, const cq_context *ctx, const cq_model *m, uint64_t seed,
                                         cq_arena *arena, cq_error *err);
/* Why the values of this block's heads (block NULL: the residual stream) cannot turn; NULL: they can. */
CQUANT_DEF const char *cq_rotate_obstacle(const cq_model *m, const cq_block *block);

/* The same from a configuration in the grammar of NVIDIA ModelOpt's mtq.rotate: what it asks for and is right is done,
   what exactness needs beyond that is added (plan->notes), and what cannot be right is an error: err->what says why,
   err->name (in plan->text) has the module, the entry, and what would be right. See [LESSON 8, a configuration]. With
   arena->base NULL: the size query, which checks everything too. config->text must outlive the plan. */
CQUANT_DEF cq_status cq_rotate_plan_config(cq_rotate_plan *plan, const cq_context *ctx, const cq_model *m,
                                           const cq_json *config, uint64_t seed, cq_arena *arena, cq_error *err);
/* The built-in configurations: name and JSON text (may be NULL) of the index-th; NULL ends. */
CQUANT_DEF const char *cq_rotate_builtin(size_t index, const char **text);

typedef struct cq_rotate_matrix { /* a matrix of a plan */
    const cq_rotation *r;
    cq_str name;           /* of which there is one, or one a layer, or one a module: */
    cq_rotate_per per;
    const cq_block *block; /* the first that has it; NULL: a stream */
    size_t blocks;         /* how many have it; 0: a stream */
    char file[300];        /* zero-terminated: NAME, NAME.LAYER or NAME.MODULE */
} cq_rotate_matrix;
/* The index-th matrix of a plan: streams, then blocks in order; false past the last. */
CQUANT_DEF bool cq_rotate_plan_matrix(const cq_rotate_plan *plan, const cq_model *m, size_t index,
                                      cq_rotate_matrix *out);
/* Puts matrices made elsewhere, matrix[index] (n, n) or NULL, in the places of those of a plan. Models with LayerNorm
   still reflect behind R1, see [LESSON 8]. Errors: CQ_ERR_RANGE names the first that is not orthogonal, that is, has
   cq_orthogonality_probe above CQ_ORTHOGONALITY_LIMIT. With arena->base NULL: the size query; matrix may be NULL. */
#define CQ_ORTHOGONALITY_LIMIT 1e-5
CQUANT_DEF cq_status cq_rotate_plan_import(cq_rotate_plan *plan, const cq_context *ctx, const cq_model *m,
                                           const double *const *matrix, cq_arena *arena, cq_error *err);
/* Adds online rotations, which the runtime multiplies with, to a plan, or to an empty one (all zero): r3, between the
   queries and keys of each head, which are turned after rope, and r4, between what an MLP or expert computes and its
   `down`. Both are Hadamard matrices without signs, block-diagonal where the width is a multiple of their order. 0:
   none; CQ_ONLINE_WIDEST: the largest order that can be built and divides the widths; else the order. Of r3 there is
   one for the model, of r4 one for each block of the description. Only .cq files can say so: cq_rotate_print.
   With arena->base NULL: the size query. CQ_ERR_UNSUPPORTED: there is nothing to turn, no such matrix, or the model has
   online rotations already. */
#define CQ_ONLINE_WIDEST SIZE_MAX
CQUANT_DEF cq_status cq_rotate_plan_online(cq_rotate_plan *plan, const cq_context *ctx, const cq_model *m, size_t r3,
                                           size_t r4, cq_arena *arena, cq_error *err);
/* The description of what a plan makes of a model, online rotations included: what .cq files hold. plan may be NULL:
   cq_arch_print. Writes at most size bytes; returns the length. */
CQUANT_DEF size_t cq_rotate_print(const cq_model *m, const cq_rotate_plan *plan, char *out, size_t size);
/* The same in blocks of so many channels, each turned by one matrix of that order: for microscaling formats and small
   groups, whose block should be the group (MR-GPTQ, Egiazarian et al. 2025). It divides the stream (CQ_ERR_RANGE);
   heads that it does not divide turn whole. The R4 to go with it: cq_rotate_plan_online with r4 = block. */
CQUANT_DEF cq_status cq_rotate_plan_blocks(cq_rotate_plan *plan, const cq_context *ctx, const cq_model *m, size_t block,
                                           uint64_t seed, cq_arena *arena, cq_error *err);
/* Does this plan give a tied head a matrix of its own? config.json must say so then. plan may be NULL: no. */
CQUANT_DEF bool cq_rotate_unties(const cq_rotate_plan *plan, const cq_model *m);

typedef enum cq_part_kind {
    CQ_PART_EMBED, CQ_PART_HEAD,             /* matrices (vocab, width); rows are independent */
    CQ_PART_POSITION,                        /* learned positions, (n, hidden) */
    CQ_PART_SIDE,                            /* the side table; its rows are independent too */
    CQ_PART_LINEAR, CQ_PART_BIAS,            /* of a block, or projections at the ends (block NULL) */
    CQ_PART_NORM, CQ_PART_NORM_BIAS,         /* of a block, or at the ends */
    CQ_PART_PARAM,                           /* small tensors of a block */
    CQ_PART_CARRIED,                         /* of a front end: cq_part_read cannot read it, copy part.stored->data */
    CQ_PART_ENTERS                           /* of a front end, but turned: what writes a stream that is rotated */
} cq_part_kind;

typedef struct cq_part {
    cq_part_kind kind;
    const cq_block *block;   /* NULL: at the ends */
    const cq_linear *linear; /* LINEAR, BIAS */
    const cq_norm *norm;     /* NORM, NORM_BIAS */
    const cq_param *param;
    bool matrix;             /* may be stored in any format; else fp32 */
    size_t rows, cols;       /* vectors: rows = 1 */
    cq_format format;        /* as stored; F32 for vectors */
    const cq_named *stored;  /* the tensor of the checkpoint it comes from; NULL: a head untied by a rotation */
    size_t slice, slices;    /* experts in one tensor: this is number slice of so many; else 0 of 1 */
    bool swapped;            /* stored as (cols, rows) */
    char name[256];          /* as a tensor of its own, zero-terminated; stored->name is what the checkpoint has */
    size_t name_len;
} cq_part;

/* Walks the parts: cursor zeroed before the first call; false past the end. With cq_rotate_unties also the head of its
   own. */
typedef struct cq_parts {
    size_t stage, block, index, head;
} cq_parts;
CQUANT_DEF bool cq_model_part(const cq_model *m, const cq_rotate_plan *plan, cq_parts *cursor, cq_part *part);
/* Rows row .. row + n - 1 as float, after norm fusion and rotation: out (n, cols). Only EMBED, HEAD, POSITION, SIDE
   and, without a plan, LINEAR may be read in pieces; all else whole (row 0, n = rows). Uses the plan's scratch: one
   call at a time. */
CQUANT_DEF cq_status cq_part_read(const cq_context *ctx, const cq_model *m, const cq_rotate_plan *plan,
                                  const cq_part *part, size_t row, size_t n, float *out, cq_error *err);
/* The matrices that turn a part at its input and its output, as mtq.rotate's [input, output] counts them: of tables
   (rows for ids or positions) and of the head the input is the stream. n = 0: none. */
CQUANT_DEF void cq_part_rotation(const cq_rotate_plan *plan, const cq_model *m, const cq_part *part, cq_str *input,
                                 cq_str *output);
/* The same in double throughout: what is stored is read exactly, and nothing is rounded to float on the way. */
CQUANT_DEF cq_status cq_part_read_f64(const cq_context *ctx, const cq_model *m, const cq_rotate_plan *plan,
                                      const cq_part *part, size_t row, size_t n, double *out, cq_error *err);

/* ===================================================================================================================
   [QUANTIZE A MODEL]  block by block; memory: one block's weights, some Hessians, and the activations of all samples
   ================================================================================================================== */
/* The Hessian of an expert is the sum of w^p x x^T over the rows x that the router sends there with weight w: the
   model's own final weight, as it multiplies the expert's output; of shared experts their gate. */
typedef enum cq_routing {
    CQ_ROUTING_DEFAULT, /* as CQ_ROUTING_WEIGHT */
    CQ_ROUTING_PLAIN,   /* p = 0 */
    CQ_ROUTING_WEIGHT,  /* p = 1 */
    CQ_ROUTING_SQUARE   /* p = 2 */
} cq_routing;
/* Experts that saw too few rows for a Hessian of their own. */
typedef enum cq_starved {
    CQ_STARVED_ALL, /* take one of every row that reaches the experts, each with weight 1 */
    CQ_STARVED_RTN  /* are rounded to nearest */
} cq_starved;

typedef struct cq_module {
    const cq_block *block;
    const cq_linear *linear;  /* which; its name is cq_module_name */
    cq_tensor tensor;         /* packed; data NULL: take `values`. The policy skips it (format F32), or panels cannot
                                 hold it: ACT_GROUPS, or a group size that is no multiple of 16 */
    const float *values;      /* (rows, cols): what the packed codes stand for */
    const cq_gptq_desc *desc; /* as resolved for this module; group_size 0: one group a row */
    const uint32_t *g_idx;    /* (cols) with CQ_GPTQ_ACT_GROUPS; else NULL: column / group_size */
    const uint8_t *codes;     /* (rows, cols) */
    const cq_grid *grids;     /* (rows, groups) */
    cq_gptq_report report;    /* rounded to nearest: both losses are |W - Q|^2 / |W|^2, as if H were the identity */
    uint64_t tokens;          /* calibration tokens that it sees; of experts: with a routing weight other than 0 */
    double weight;            /* the sum of their routing weights; without experts: tokens */
    bool starved;             /* an expert that saw too few tokens: its Hessian is that of every token, or */
    bool nearest;             /* it was rounded to nearest, as everything is with `rtn` */
} cq_module;

/* A module that was finished before, see cq_quantize_desc.restore. */
typedef struct cq_finished {
    uint32_t block, linear; /* m->blocks[block].lin[linear] */
} cq_finished;

typedef struct cq_quantize_desc {
    cq_gptq_desc gptq;    /* format, group_size (0, or a multiple of 16 to be packed), asym, order, ... */
    bool rtn;             /* round to nearest: no calibration, ids unused */
    float correct;        /* 0: not; else (0.25 is good) the share of the mismatch between what a linear reads and what it
                             would read in the whole model that its weights make up for, see cq_gptq_correct. Not with
                             two streams, nor where layers lend keys and values; experts are left out */
    cq_policy *policy;    /* overrides by module name; NULL: none */
    const cq_rotate_plan *plan;
    const int32_t *ids;   /* (samples, seq_len) calibration tokens; for diffusion models with their masks in place */
    size_t samples, seq_len;
    const float *text;    /* two streams: (samples, text_rows, input[0].w.cols) */
    size_t text_rows;
    const float *boxes;   /* (samples, input[1].w.cols), if the model takes a box */
    /* Experts */
    cq_routing routing;
    cq_starved starved;
    size_t min_tokens;    /* fewer: starved; 0: twice the columns of gate and up, eight times those of down */
    size_t hessian_bytes; /* Hessians of so many experts are summed up in one run of the samples as fit in here, but at
                             least one; the result does not depend on it. 0: 256 MiB */
    /* Activations between blocks: float, or rounded to bf16; in the arena, or behind these two (both or none), at
       byte offsets below cq_quantize_acts_bytes. false: CQ_ERR_IO */
    bool low_memory;
    bool (*load)(void *user, uint64_t offset, void *data, size_t bytes);
    bool (*save)(void *user, uint64_t offset, const void *data, size_t bytes);
    /* Called for each linear in execution order, of experts one after the other; everything in *module is valid during
       the call. Linears that stay as they are (routers, those marked) are not passed. */
    bool (*emit)(void *user, const cq_module *module);
    cq_progress progress; /* may be NULL */
    /* May be NULL. A layer is finished, all before m->blocks[next] has been emitted; first with next 0, when the
       tokens are embedded. acts: the activations as they now are, all cq_quantize_acts_bytes of them; NULL with
       `load`, or rtn. false: CQ_ERR_IO */
    bool (*checkpoint)(void *user, size_t next, const void *acts);
    /* To go on after a checkpoint (next 0: from the beginning): next as it was, and the modules emitted before it, in
       the order in which they were. Each is emitted again: restore is called first, fills codes, grids and g_idx of
       *into (those that are not NULL), and tokens, weight, starved, nearest and report of *module. restore_acts fills
       in the activations as they were (not called with `load`, or rtn). What does not fit is CQ_ERR_FORMAT, false
       CQ_ERR_IO. */
    size_t next;
    const cq_finished *finished;
    size_t finished_count;
    bool (*restore)(void *user, size_t index, cq_module *module, const cq_gptq_result *into);
    bool (*restore_acts)(void *user, void *acts);
    void *user;
} cq_quantize_desc;

/* Bytes of the activations of all samples: native floats or bf16, sample after sample. SIZE_MAX: too many */
CQUANT_DEF size_t cq_quantize_acts_bytes(const cq_model *m, const cq_quantize_desc *desc);
/* The blocks first .. first + n - 1, n the result, that are quantised together: at most this much of the model's own
   weights is read at a time. 0: first is past the last. */
CQUANT_DEF size_t cq_quantize_unit(const cq_model *m, size_t first);

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
/* What is reused of earlier passes. Fast-dLLM's two, block by block: keys and values of what stands before the block;
   or also of what stands behind it. STEPS: those of every row that need not change: between full passes only rows that
   are masked, that predict a masked position, or whose token was changed since the pass before are computed. */
typedef enum cq_cache { CQ_CACHE_NONE, CQ_CACHE_PREFIX, CQ_CACHE_DUAL, CQ_CACHE_STEPS, CQ_CACHE_COUNT } cq_cache;
/* How many masks go in a step. TIME: Dream's, by a time that runs from 1 to eps. EVEN: LLaDA's, as many in each step,
   the first ones take the remainder. */
typedef enum cq_schedule { CQ_SCHEDULE_DEFAULT, CQ_SCHEDULE_TIME, CQ_SCHEDULE_EVEN, CQ_SCHEDULE_COUNT } cq_schedule;
CQUANT_DEF const char *cq_alg_name(cq_alg alg); /* "origin", "maskgit_plus", "topk_margin", "entropy"; else NULL */
CQUANT_DEF const char *cq_cache_name(cq_cache cache); /* "none", "prefix", "dual", "steps"; else NULL */

typedef struct cq_generate_desc {
    cq_alg alg;           /* not with PREFIX or DUAL, nor with a threshold: there it is as said of these */
    size_t steps;         /* denoising steps; 0: 512 as the reference does */
    float eps;            /* last time of the schedule TIME, in (0, 1); 0: 0.001 */
    float temperature;    /* 0: the likeliest token */
    float top_p;          /* 0 or >= 1: off */
    size_t top_k;         /* 0: off */
    float alg_temp;       /* > 0: positions are drawn by softmax(confidence / alg_temp) instead of the surest taken */
    cq_cache cache;       /* PREFIX, DUAL: entropy over steps, unless a threshold is given */
    size_t block_length;  /* PREFIX, DUAL: 0: 32. The schedule EVEN goes from block to block too, 0: all is one block.
                             Else unused. New tokens must be a multiple of it, steps a multiple of the blocks */
    float threshold;      /* > 0, with PREFIX or DUAL: each pass fills the likeliest token and all that reach the
                             threshold; steps are not used. With the other two: entropy over steps */
    uint64_t seed;
    const float *uniform; /* origin: (steps, n) numbers in [0, 1) that decide instead of the seed's; NULL: none */
    float exit;           /* > 0: a pass fills what the schedule says, and every candidate that is sure enough: entropy,
                             in nats, not above exit (diffuse-cpp's entropy_exit); of maskgit_plus the probability, of
                             topk_margin the margin not below it. Not for origin, nor beside a threshold that is used */
    size_t refresh;       /* STEPS: every so many passes one is full; 0: 8. 1: all, as without a cache */
    cq_schedule schedule; /* DEFAULT: EVEN for models that do not shift, as LLaDA; TIME for the others */
    size_t head_rows;     /* whole rows of logits held at a time (temperature, filters, a logits hook): the head's
                             weights are read once for so many; 0: 32. Else the head is streamed, and there is no row */
    const int32_t *positions; /* (n) rope positions; NULL: as keep says. These three: for the whole sequence */
    const uint8_t *allow; /* (n, n) 0 hides token k from row q; not with keep, nor with bias */
    const float *bias;    /* (n, n) added to the scaled scores, -infinity hides */
    /* Hooks, NULL: none. false ends the generation, with CQ_ERR_CANCELLED. tokens: before the first step, and after
       each, of which `steps` are done; it may rewrite ids (n), and all steps are gone through, as it might mask anew.
       With PREFIX and DUAL what it rewrites outside the block is not seen before the next block. logits: rows (count,
       vocab) that predict the positions where[0 .. count), before anything is drawn from them. */
    bool (*tokens)(void *user, size_t steps, int32_t *ids, size_t n);
    bool (*logits)(void *user, size_t steps, const uint32_t *where, size_t count, float *rows);
    void *user;
    int32_t *history;     /* (history_rows, n) ids after each of the first history_rows steps; NULL: not wanted */
    size_t history_rows;
} cq_generate_desc;

typedef struct cq_generate_stats {
    size_t steps, forwards, rows, head_rows; /* forward passes; rows computed by them; rows that went through lm_head;
                                                what was cancelled counts as well */
    /* denoising: what the plain loop would do: in every step of the schedule (of the threshold: one for each mask) a
       pass over all rows, all of them through lm_head */
    size_t naive_forwards, naive_rows, naive_head_rows;
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
    bool begun, changed;   /* private: the hook before the first step was called; this step has changed something */
    cq_generate_stats stats;
    /* private: the range of positions that is being filled, and how far it is */
    size_t from, to;       /* everything; or the prompt if it has masks, then block by block */
    size_t round, rounds;  /* of the schedule of this range */
    size_t masks;          /* in this range when it was begun */
    size_t lead;           /* unseen tokens at the front: rows that need not be computed */
    bool window, enter;    /* passes over a part of the rows; the full pass before the first of them is still to do */
    bool whole;            /* rows of logits are needed */
    size_t passes;         /* STEPS: since the last full one, it included; 0: there is none yet */
    size_t first, active;  /* the last pass: its first row, or rows slots[0 .. active) */
    /* private: scratch */
    float *logits;         /* (rows of one batch, vocab), or (rows, tokens) of a tile of the head */
    float *hidden;         /* (n, columns of the head), or in codes: what the head reads */
    cq_acts acts;
    struct cq__pick *pick; /* (n) */
    float *confidence;     /* (n) of the candidates: confidence, position, token */
    uint32_t *where;
    int32_t *token;
    uint32_t *row, *item;  /* (n) rows of the pass that go through the head, and whose candidates they are */
    uint32_t *order;       /* (n) positions in the order of item, for the hook */
    int32_t *positions;    /* (n) rope positions, with a mask only */
    uint8_t *seen, *none;  /* (n) the mask with the new tokens; a mask that hides everything */
    uint32_t *slots;       /* STEPS: (n) the rows of a pass, */
    int32_t *last;         /* (n) the ids of the pass before, */
    int32_t *some_ids, *some_positions; /* (n) what belongs to the rows, */
    uint8_t *some_allow;   /* and their masks, (n, n), if there are masks */
    float *some_bias;
} cq_generator;

/* ids: (n) the prompt, then mask ids up to n = prompt + max_new_tokens; mask ids inside the prompt are filled too.
   keep: (prompt) attention mask of the prompt (0 = left padding), or NULL. Needs a session with max_tokens >= n and
   max_rows >= n. Nothing here looks at an end-of-text id: the caller cuts. Size query: arena->base NULL; then only the
   pointers s, desc and keep (NULL or not) count, and ids may be NULL. What desc points to must live as long as g. */
CQUANT_DEF cq_status cq_generate_begin(cq_generator *g, cq_session *s, const cq_generate_desc *desc, int32_t *ids,
                                       size_t n, size_t prompt, const uint8_t *keep, cq_arena *arena, cq_error *err);
/* One denoising step; g->done tells when there is nothing left to do. If the session's progress cancels it, it may be
   called again, at any time and as often as need be: the step is done anew (of a block that is entered only what is
   left of it), and the ids come out as if it had never been cancelled, whatever the cache. The session must not be used
   for anything else in between if there is a cache. A logits hook sees the step's rows again, a tokens hook nothing. */
CQUANT_DEF cq_status cq_generate_step(cq_generator *g, cq_error *err);

/* Causal models: one token after another. `n` tokens of prompt in ids (capacity n + max_new); returns how many were
   written through *count; stops at eos_id (kept) if eos_id >= 0. Needs a session with max_tokens >= n + max_new; a
   prompt longer than max_rows is run in parts. count and stats may be NULL. */
CQUANT_DEF cq_status cq_generate_next(cq_session *s, const cq_generate_desc *desc, int32_t *ids, size_t n,
                                      size_t max_new, int32_t eos_id, size_t *count, cq_generate_stats *stats,
                                      cq_arena *arena, cq_error *err);
/* DualStreamRoformer: exactly n tokens into ids, guided away from what an empty prompt gives: at token i of n the
   logits are (1 + g) cond - g uncond with g = guidance (n - i) / n. cond and uncond: sessions of one model, each with
   its text (cq_forward_text), max_tokens >= text + n. desc: top_p > 0 draws from the tokens whose probabilities add up
   to no more than top_p (at least one), else the likeliest is taken; seed. The first input is bos, the id after the
   codebook's. */
CQUANT_DEF cq_status cq_generate_guided(cq_session *cond, cq_session *uncond, float guidance,
                                        const cq_generate_desc *desc, int32_t *ids, size_t n, cq_generate_stats *stats,
                                        cq_arena *arena, cq_error *err);
/* Draws one token from logits (overwritten): temperature, then top_p, then top_k, as the reference orders them. A token
   over the threshold of top_p is the last one kept; equal values at the end of top_k are all kept. Ties: lowest id.
   Random numbers: cq_random(desc->seed, stream, counter). *confidence (may be NULL): what desc->alg takes as
   confidence, of the filtered distribution; -infinity when no logit is a number. vocab >= 1. entropy: sum p log p; the
   reference's sum p log(p + 1e-10) lies above that by at most 1e-10 a token: 1.5e-5 if 152064 were equally likely. */
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

/* No fused multiply-add, no float vectors of Helium, as in cquant.h. */
CQ__EXACT_BEGIN /* see cquant.h */

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
    if (e[20] && (e[20] != 8 || !cq_format_has_q8((cq_format)e[12])))
        return cq__file_fail_entry(t, "cq file: activations must have 0 bits, or 8 where the weights can take them",
                                   where + 20, e[20], err);
    if (cq__u32(e + 20) >> 8 || cq__u64(e + 88))
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
        return cq__file_fail_entry(t, "cq file: group_size is not the one in use: a multiple of 16, at most the row",
                                   where + 16, cq__u32(e + 16), err);
    if (t->t.bytes != cq__u64(e + 80))
        return cq__file_fail_entry(t, "cq file: bytes are not what format and shape need", where + 80,
                                   cq__u64(e + 80), err);
    t->t.act_bits = e[20];
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
        e[20] = n->t.act_bits;
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
   [LESSON 2 files]  quantised checkpoints of others
   The formats differ in where things lie; once a linear is opened (cq__coded), a code is a number in a stream, wherever
   the streams run, and everything after that is the same for all.

   What the shapes say is believed before what the configuration says: files with mixed precision name modules by
   regular expressions there, while a tensor's shape leaves little choice. The configuration decides what shapes cannot:
   v1 or v2, and bits where several fit.
   ================================================================================================================== */
#define CQ__CODED_MOST ((uint64_t)1 << 28) /* rows and columns of a quantised linear: products with 8 stay below 2^32 */

CQUANT_DEF size_t cq_bits_words(size_t count, unsigned bits) {
    return count / 32 * bits + (count % 32 * bits + 31) / 32;
}
CQUANT_DEF uint32_t cq_bits_get(const unsigned char *words, size_t stride, size_t index, unsigned bits) {
    size_t at = index * bits;
    unsigned shift = (unsigned)(at % 32);
    const unsigned char *p = words + at / 32 * stride * 4;
    uint32_t v = cq__u32(p) >> shift;
    if (shift + bits > 32) v |= cq__u32(p + 4 * stride) << (32 - shift);
    return v & ((1u << bits) - 1u);
}
CQUANT_DEF void cq_bits_put(unsigned char *words, size_t stride, size_t index, unsigned bits, uint32_t number) {
    size_t at = index * bits;
    unsigned shift = (unsigned)(at % 32);
    unsigned char *p = words + at / 32 * stride * 4;
    cq__put32(p, cq__u32(p) | number << shift);
    if (shift + bits > 32) cq__put32(p + 4 * stride, cq__u32(p + 4 * stride) | number >> (32 - shift));
}

typedef struct cq__scheme { /* what the configuration says */
    bool compressed;        /* compressed-tensors; else GPTQ */
    bool v2, sym, mixed;    /* GPTQ; mixed: modules may differ (dynamic) */
    unsigned bits;          /* GPTQ; 0: it does not say */
    size_t group_size;      /* GPTQ; 0: whole rows, or it does not say */
    const cq_json *json;
    uint32_t groups;        /* compressed-tensors: config_groups */
} cq__scheme;

typedef struct cq__coded { /* a quantised linear */
    const cq_named *codes, *zeros, *scales, *g_idx; /* zeros, g_idx: or NULL */
    size_t module;         /* bytes of its name at the front of codes->name */
    bool down;             /* GPTQ: streams of codes run down the columns */
    bool v1;               /* zeros are stored less 1 */
    bool one_scale;        /* for all rows */
    bool asym, storable;   /* some zero is not the middle code; all scales are numbers that the format stores */
    cq_format format;
    unsigned bits;         /* of it */
    size_t row_bytes;      /* not down: of a row of codes */
    size_t rows, cols, groups, group_size; /* group_size 0: g_idx decides */
} cq__coded;

static cq_status cq__scheme_fail(const cq__scheme *s, uint32_t value, const char *key, cq_status st, const char *what,
                                 cq_error *err) {
    int64_t got = INT64_MIN;
    if (value && !cq_json_int(s->json, value, &got)) got = INT64_MIN;
    return cq_fail_at(err, st, what, key, cq__strlen(key), value ? s->json->nodes[value].begin : UINT64_MAX, got);
}
/* The value of a key that is there and not null, or 0. */
static uint32_t cq__scheme_key(const cq__scheme *s, uint32_t object, const char *key) {
    uint32_t value = cq_json_find(s->json, object, key);
    return value && !cq_json_is_null(s->json, value) ? value : 0;
}

static cq_status cq__scheme_gptq(cq__scheme *s, uint32_t object, cq_error *err) {
    const cq_json *j = s->json;
    uint32_t bits = cq__scheme_key(s, object, "bits"), group = cq__scheme_key(s, object, "group_size"),
             sym = cq__scheme_key(s, object, "sym"), format = cq__scheme_key(s, object, "checkpoint_format"),
             pack = cq__scheme_key(s, object, "pack_dtype"), dynamic = cq__scheme_key(s, object, "dynamic"),
             rotation = cq__scheme_key(s, object, "rotation");
    int64_t n = 0;
    s->sym = true;
    if (!format) format = cq__scheme_key(s, object, "format");
    if (bits && (!cq_json_int(j, bits, &n) || (n != 2 && n != 3 && n != 4 && n != 8)))
        return cq__scheme_fail(s, bits, "bits", CQ_ERR_UNSUPPORTED,
                               "GPTQ checkpoints are read with 2, 3, 4 or 8 bits", err);
    s->bits = (unsigned)n;
    n = 0;
    if (group && (!cq_json_int(j, group, &n) || n < -1 || n == 0 || n > (int64_t)CQ__CODED_MOST))
        return cq__scheme_fail(s, group, "group_size", CQ_ERR_FORMAT,
                               "group_size of a GPTQ checkpoint should be -1 or above 0", err);
    s->group_size = n > 0 ? (size_t)n : 0;
    if (sym && !cq_json_bool(j, sym, &s->sym))
        return cq__scheme_fail(s, sym, "sym", CQ_ERR_FORMAT, "sym of a GPTQ checkpoint should be true or false", err);
    s->v2 = format && cq_json_string_eq(j, format, "gptq_v2");
    if (format && !s->v2 && !cq_json_string_eq(j, format, "gptq"))
        return cq__scheme_fail(s, format, "checkpoint_format", CQ_ERR_UNSUPPORTED,
                               "of the formats of GPTQ checkpoints gptq and gptq_v2 are read", err);
    if (pack && !cq_json_string_eq(j, pack, "int32"))
        return cq__scheme_fail(s, pack, "pack_dtype", CQ_ERR_UNSUPPORTED,
                               "GPTQ checkpoints are read with pack_dtype int32", err);
    if (rotation)
        return cq__scheme_fail(s, rotation, "rotation", CQ_ERR_UNSUPPORTED,
                               "a GPTQ checkpoint that the runtime has to rotate is not read", err);
    s->mixed = dynamic && cq_json_kind(j, dynamic) == CQ_JSON_OBJECT && j->nodes[dynamic].count != 0;
    return CQ_OK;
}

static cq_status cq__scheme_compressed(cq__scheme *s, uint32_t object, cq_error *err) {
    static const char *const empty[] = {"transform_config", "sparsity_config", "kv_cache_scheme"};
    const cq_json *j = s->json;
    s->groups = cq__scheme_key(s, object, "config_groups");
    if (!s->groups || cq_json_kind(j, s->groups) != CQ_JSON_OBJECT)
        return cq__scheme_fail(s, s->groups, "config_groups", CQ_ERR_FORMAT,
                               "compressed-tensors needs the object config_groups", err);
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) { /* each would change what the model computes */
        uint32_t node = cq__scheme_key(s, object, empty[i]);
        uint32_t format = node ? cq__scheme_key(s, node, "format") : 0;
        if (node && j->nodes[node].count && !(format && cq_json_string_eq(j, format, "dense")))
            return cq__scheme_fail(s, node, empty[i], CQ_ERR_UNSUPPORTED,
                                   "compressed-tensors is read with weights quantised and nothing else", err);
    }
    for (uint32_t k = cq_json_child(j, s->groups); k; k = cq_json_next(j, k)) {
        uint32_t group = cq_json_child(j, k), in, out;
        if (cq_json_kind(j, group) != CQ_JSON_OBJECT)
            return cq__scheme_fail(s, group, "config_groups", CQ_ERR_FORMAT,
                                   "each of config_groups should be an object", err);
        in = cq__scheme_key(s, group, "input_activations");
        out = cq__scheme_key(s, group, "output_activations");
        if (in || out)
            return cq__scheme_fail(s, in ? in : out, in ? "input_activations" : "output_activations",
                                   CQ_ERR_UNSUPPORTED,
                                   "compressed-tensors is read with weights quantised and nothing else", err);
    }
    return CQ_OK;
}

static cq_status cq__scheme_read(cq__scheme *s, const cq_json *json, uint32_t object, cq_error *err) {
    uint32_t method;
    cq__fill(s, 0, sizeof *s);
    s->json = json;
    if (cq_json_kind(json, object) != CQ_JSON_OBJECT)
        return cq__scheme_fail(s, object, "quantization_config", CQ_ERR_FORMAT, "should be an object", err);
    method = cq__scheme_key(s, object, "quant_method");
    if (method && cq_json_string_eq(json, method, "compressed-tensors")) {
        s->compressed = true;
        return cq__scheme_compressed(s, object, err);
    }
    if (method && !cq_json_string_eq(json, method, "gptq"))
        return cq__scheme_fail(s, method, "quant_method", CQ_ERR_UNSUPPORTED,
                               "quantised checkpoints are read if quant_method is gptq or compressed-tensors", err);
    return cq__scheme_gptq(s, object, err);
}

/* Order of a name and the name a (n bytes) + b. */
static int cq__compare_joined(const cq_named *x, const char *a, size_t n, const char *b) {
    int c = cq__compare_names(x->name, cq__min(x->name_len, n), a, n);
    return c ? c : cq__compare_names(x->name + n, x->name_len - n, b, cq__strlen(b));
}
/* The tensor MODULE + suffix; NULL: there is none. */
static const cq_named *cq__find_joined(const cq_weights *w, const char *module, size_t n, const char *suffix) {
    size_t lo = 0, hi = w->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = cq__compare_joined(&w->list[mid], module, n, suffix);
        if (c == 0) return &w->list[mid];
        if (c < 0) lo = mid + 1;
        else hi = mid;
    }
    return NULL;
}
/* Does the name end so? *module: the bytes before it. */
static bool cq__ends(const cq_named *n, const char *suffix, size_t *module) {
    size_t len = cq__strlen(suffix);
    if (n->name_len <= len || !cq__equal(n->name + n->name_len - len, suffix, len)) return false;
    *module = n->name_len - len;
    return true;
}

/* Older GPTQ checkpoints give every linear a bias: where the architecture has none it is zero. */
static bool cq__idle_bias(const cq_weights *w, const cq_named *n) {
    size_t module;
    const cq_named *linear = cq__ends(n, ".bias", &module) ? cq__find_joined(w, n->name, module, ".weight") : NULL;
    if (!linear || linear->dtype != CQ_DTYPE_PACKED) return false;
    for (size_t i = 0; i < n->bytes; i++)
        if (n->data[i]) return false;
    return true;
}

static const char *cq__codes_suffix(const cq__scheme *s) { return s->compressed ? ".weight_packed" : ".qweight"; }
/* The codes of a module; NULL: it is not quantised. */
static const cq_named *cq__codes_of(const cq__scheme *s, const cq_weights *w, const char *name, size_t module) {
    const cq_named *n = cq__find_joined(w, name, module, cq__codes_suffix(s));
    if (n || !s->compressed) return n;
    n = cq__find_joined(w, name, module, ".weight"); /* bytes that are numbers */
    return n && n->dtype == CQ_DTYPE_F8_E4M3 ? n : NULL;
}
/* Is this tensor a part of a quantised linear, so that it is not one of the model's own? *codes: its codes are in it. */
static bool cq__coded_part(const cq__scheme *s, const cq_weights *w, const cq_named *n, bool *codes) {
    static const char *const gptq[] = {".qweight", ".qzeros", ".scales", ".g_idx", NULL};
    static const char *const compressed[] = {".weight_packed", ".weight_scale",  ".weight_zero_point",
                                             ".weight_shape",  ".weight_g_idx", NULL};
    size_t module;
    *codes = cq__ends(n, ".weight", &module) && cq__codes_of(s, w, n->name, module) == n;
    for (const char *const *p = s->compressed ? compressed : gptq; *p && !*codes; p++) {
        const cq_named *q = cq__ends(n, *p, &module) ? cq__codes_of(s, w, n->name, module) : NULL;
        *codes = q == n;
        if (q) return true;
    }
    return *codes;
}

static cq_status cq__coded_fail(const cq_named *n, cq_status st, const char *what, uint64_t where, int64_t got,
                                cq_error *err) {
    return cq_fail_at(err, st, what, n->name, n->name_len, where, got);
}
static bool cq__is_matrix(const cq_named *n, cq_dtype dtype, uint64_t rows, uint64_t cols) {
    return n && n->dtype == (uint8_t)dtype && n->ndim == 2 && n->shape[0] == rows && n->shape[1] == cols;
}

static float cq__coded_scale(const cq__coded *c, size_t row, size_t group) {
    float s;
    size_t i = c->one_scale ? 0 : c->down ? group * c->rows + row : row * c->groups + group;
    if (!c->scales->t.data) return cq_e8m0_to_f32(c->scales->data[i]);
    if (c->scales->dtype == CQ_DTYPE_F16) return cq_f16_to_f32(cq__u16(c->scales->data + 2 * i));
    cq_tensor_span(&c->scales->t, i / c->scales->t.cols, i % c->scales->t.cols, 1, &s);
    return s;
}
/* v1 stores zero - 1, and writers subtract in whole words: a zero of 0 borrows from its neighbours, which adding in
   whole words gives back. Not so with 3 bits, whose fields lie across words: there each field is its own. */
static uint32_t cq__coded_zero(const cq__coded *c, size_t row, size_t group) {
    const unsigned char *p;
    size_t stride, per = 32 / c->bits;
    if (!c->zeros) return cq_format_is_int(c->format) ? 1u << (c->bits - 1) : 0;
    stride = c->down ? 1 : c->groups;
    p = c->zeros->data + 4 * (c->down ? group * (size_t)c->zeros->shape[1] : group);
    if (!c->v1) return cq_bits_get(p, stride, row, c->bits);
    if (c->bits == 3) return (cq_bits_get(p, stride, row, 3) + 1) & 7u;
    uint32_t ones = 0xffffffffu / ((1u << c->bits) - 1u);
    return (cq__u32(p + row / per * stride * 4) + ones) >> (row % per * c->bits) & ((1u << c->bits) - 1u);
}
static uint32_t cq__coded_group(const cq__coded *c, size_t col) {
    return c->group_size ? (uint32_t)(col / c->group_size) : cq__u32(c->g_idx->data + 4 * col);
}

/* g_idx: every number below groups; if groups are runs of one length in order (the last may be shorter), that. */
static cq_status cq__coded_groups(cq__coded *c, cq_error *err) {
    const unsigned char *g = c->g_idx->data;
    size_t run = 0;
    bool regular = true;
    while (run < c->cols && !cq__u32(g + 4 * run)) run++;
    for (size_t k = 0; k < c->cols; k++) {
        uint32_t v = cq__u32(g + 4 * k);
        if (v >= c->groups)
            return cq__coded_fail(c->g_idx, CQ_ERR_RANGE, "a group number should be below the number of groups", k,
                                  (int32_t)v, err);
        regular = regular && run && v == k / run;
    }
    c->group_size = regular && (c->cols + run - 1) / run == c->groups ? run : 0;
    return CQ_OK;
}

/* The codes of a row: cq_bits_get for each of a stream, which is walked word by word. */
static void cq__coded_row(const cq__coded *c, size_t row, uint8_t *out /* (cols) */) {
    const unsigned char *p = c->codes->data + (c->down ? 4 * row : row * c->row_bytes);
    size_t step = c->down ? 4 * c->rows : 4;
    uint32_t mask = (1u << c->bits) - 1u;
    uint64_t held = 0;
    unsigned count = 0; /* bits held */
    if (c->codes->dtype == CQ_DTYPE_F8_E4M3) {
        cq__copy(out, p, c->cols);
        return;
    }
    for (size_t k = 0; k < c->cols; k++, held >>= c->bits, count -= c->bits) {
        if (count < c->bits) {
            held |= (uint64_t)cq__u32(p) << count;
            count += 32;
            p += step;
        }
        out[k] = (uint8_t)(held & mask);
    }
}
static bool cq__is_e8m0(const cq_named *n) { return n->dtype == CQ_DTYPE_U8 || n->dtype == CQ_DTYPE_F8_E8M0; }

/* What the values say: scales are finite and perhaps storable, zeros perhaps all in the middle, numbers are numbers. */
static cq_status cq__coded_values(cq__coded *c, cq_error *err) {
    uint32_t middle = cq_format_is_int(c->format) ? 1u << (c->bits - 1) : 0;
    c->storable = true;
    for (size_t i = 0; c->codes->dtype == CQ_DTYPE_F8_E4M3 && i < c->codes->bytes; i++)
        if ((c->codes->data[i] & 0x7fu) == 0x7fu)
            return cq__coded_fail(c->codes, CQ_ERR_RANGE, "a weight is no number (row)", i / c->cols, INT64_MIN, err);
    for (size_t r = 0; r < c->rows; r++)
        for (size_t g = 0; g < c->groups; g++) {
            float s = cq__coded_scale(c, r, g);
            if (!cq__finite(s))
                return cq__coded_fail(c->scales, CQ_ERR_RANGE, "a scale is not finite (row)", r, INT64_MIN, err);
            c->storable = c->storable && cq_grid_make(s, 0.0f, c->format).scale == s;
            c->asym = c->asym || cq__coded_zero(c, r, g) != middle;
        }
    return CQ_OK;
}

static cq_status cq__coded_gptq(const cq__scheme *s, const cq_weights *w, const cq_named *q, cq__coded *c,
                                cq_error *err) {
    static const unsigned widths[] = {0, 2, 3, 4, 8}; /* 0: what the configuration says */
    uint64_t words = q->shape[0];
    c->down = true;
    c->zeros = cq__find_joined(w, q->name, c->module, ".qzeros");
    c->scales = cq__find_joined(w, q->name, c->module, ".scales");
    c->g_idx = cq__find_joined(w, q->name, c->module, ".g_idx");
    if (q->dtype != CQ_DTYPE_I32 || q->ndim != 2 || !q->shape[0] || !q->shape[1] || q->shape[0] > CQ__CODED_MOST / 4 ||
        q->shape[1] > CQ__CODED_MOST)
        return cq__coded_fail(q, CQ_ERR_FORMAT, "should be I32 of two dimensions", UINT64_MAX, q->ndim, err);
    if (!c->scales || !c->scales->t.data || c->scales->ndim != 2 || c->scales->shape[1] != q->shape[1] ||
        !c->scales->shape[0] || c->scales->shape[0] > CQ__CODED_MOST)
        return cq__coded_fail(q, CQ_ERR_FORMAT, "needs scales beside it, floats (groups, outputs)", UINT64_MAX,
                              INT64_MIN, err);
    c->rows = (size_t)q->shape[1];
    c->groups = (size_t)c->scales->shape[0];
    if (c->g_idx && (c->g_idx->dtype != CQ_DTYPE_I32 || c->g_idx->ndim != 1 || !c->g_idx->shape[0] ||
                     c->g_idx->shape[0] > CQ__CODED_MOST))
        return cq__coded_fail(c->g_idx, CQ_ERR_FORMAT, "should be I32 of one dimension", UINT64_MAX, c->g_idx->ndim,
                              err);
    for (size_t i = 0; i < sizeof widths / sizeof *widths && !c->bits; i++) {
        unsigned b = i ? widths[i] : s->bits;
        uint64_t cols = c->g_idx ? c->g_idx->shape[0] : b && words * 32 % b == 0 ? words * 32 / b : 0;
        if (!b || (i && s->bits && !s->mixed) || !cols || cq_bits_words((size_t)cols, b) != words ||
            !cq__is_matrix(c->zeros, CQ_DTYPE_I32, c->groups, cq_bits_words(c->rows, b)))
            continue;
        c->bits = b;
        c->format = cq_format_int(b);
        c->cols = (size_t)cols;
    }
    if (!c->bits)
        return cq__coded_fail(q, CQ_ERR_FORMAT, "its shape and those of qzeros and g_idx fit no bits that the "
                              "configuration allows (words in a column)", UINT64_MAX, (int64_t)words, err);
    if (c->groups > c->cols)
        return cq__coded_fail(c->scales, CQ_ERR_FORMAT, "has more groups than there are columns", UINT64_MAX,
                              (int64_t)c->groups, err);
    if (c->g_idx) {
        cq_status st = cq__coded_groups(c, err);
        if (st) return st;
    } else {
        size_t size = s->group_size && s->group_size < c->cols ? s->group_size : c->cols;
        if ((c->cols + size - 1) / size != c->groups && s->mixed) size = (c->cols + c->groups - 1) / c->groups;
        if ((c->cols + size - 1) / size != c->groups)
            return cq__coded_fail(c->scales, CQ_ERR_FORMAT, "has not as many groups as group_size asks for",
                                  UINT64_MAX, (int64_t)c->groups, err);
        c->group_size = size;
    }
    /* symmetric files that say "gptq" and hold the zeros of v2 exist */
    c->v1 = !s->v2;
    if (c->v1 && s->sym) {
        bool middle = true;
        c->v1 = false;
        for (size_t g = 0; g < c->groups && middle; g++)
            for (size_t r = 0; r < c->rows && middle; r++) middle = cq__coded_zero(c, r, g) == 1u << (c->bits - 1);
        c->v1 = !middle;
    }
    return CQ_OK;
}

/* A number that the groups of config_groups give for `key` of their weights, and that fits (words of a row for bits,
   groups of a row for group_size): of the group that lists this module by name, else of all. 0: none, or several. */
static size_t cq__coded_wish(const cq__scheme *s, const cq__coded *c, const char *key, size_t fits) {
    const cq_json *j = s->json;
    size_t found = 0;
    for (uint32_t k = cq_json_child(j, s->groups); k; k = cq_json_next(j, k)) {
        uint32_t group = cq_json_child(j, k), targets = cq__scheme_key(s, group, "targets"),
                 weights = cq__scheme_key(s, group, "weights"), node = weights ? cq__scheme_key(s, weights, key) : 0;
        int64_t n = 0;
        size_t v;
        if (node && (!cq_json_int(j, node, &n) || n > (int64_t)CQ__CODED_MOST)) continue;
        v = n > 0 ? (size_t)n : 0;
        if (key[0] == 'n') { /* num_bits */
            if (v < 2 || v > 8 || cq_bits_words(c->cols, (unsigned)v) != fits) continue;
        } else { /* group_size; none: a scale a row */
            if (!v || v > c->cols) v = c->cols;
            if ((c->cols + v - 1) / v != fits) continue;
        }
        for (uint32_t t = targets ? cq_json_child(j, targets) : 0; t; t = cq_json_next(j, t)) {
            const cq_json_node *text = &j->nodes[t];
            if (cq_json_kind(j, t) == CQ_JSON_STRING && text->end - text->begin == c->module &&
                cq__equal(j->text + text->begin, c->codes->name, c->module))
                return v;
        }
        if (found && found != v) return 0;
        found = v;
    }
    return found;
}

/* Small floats: bytes, or numbers of 4 or 6 bits in rows of whole words, of which the scales tell which. */
static cq_status cq__coded_floats(const cq__scheme *s, const cq_named *q, cq__coded *c, cq_error *err) {
    const cq_named *scales = c->scales;
    uint64_t bytes = q->shape[1], groups = scales && scales->ndim == 2 ? scales->shape[1] : 1, count;
    bool whole = q->dtype == CQ_DTYPE_F8_E4M3, mx = scales && cq__is_e8m0(scales);
    if (!bytes || bytes > CQ__CODED_MOST / 2)
        return cq__coded_fail(q, CQ_ERR_FORMAT, "should have columns", UINT64_MAX, (int64_t)bytes, err);
    if (!scales || (!mx && (!whole || !scales->t.data)))
        return cq__coded_fail(q, CQ_ERR_UNSUPPORTED, "of compressed-tensors this is read: pack-quantized, "
                              "mxfp4- and mxfp6-pack-quantized, mxfp8-quantized, float-quantized", UINT64_MAX,
                              scales ? scales->dtype : q->dtype, err);
    count = mx ? scales->bytes : scales->t.rows * scales->t.cols;
    c->one_scale = !mx && count == 1;
    if (c->zeros || c->g_idx || (!c->one_scale && (!scales->ndim || scales->ndim > 2 || scales->shape[0] != c->rows)))
        return cq__coded_fail(scales, CQ_ERR_FORMAT, "should be (outputs, groups), without zero points", UINT64_MAX,
                              scales->ndim, err);
    c->row_bytes = (size_t)bytes;
    c->cols = (size_t)(whole ? bytes : (bytes * 2 + 31) / 32 == groups ? bytes * 2 : bytes / 3 * 4);
    c->format = !whole ? (c->cols == bytes * 2 ? CQ_MXFP4 : CQ_MXFP6_E2M3) : mx ? CQ_MXFP8 : CQ_FP8;
    c->groups = (size_t)groups;
    c->bits = cq_format_bits(c->format);
    if (mx && ((c->cols + 31) / 32 != groups || (!whole && (bytes % 4 || c->cols * c->bits != bytes * 8))))
        return cq__coded_fail(q, CQ_ERR_FORMAT, "should have one scale for 32 columns (bytes of a row)", UINT64_MAX,
                              (int64_t)bytes, err);
    if (c->groups > c->cols || !c->groups)
        return cq__coded_fail(scales, CQ_ERR_FORMAT, "has more groups than there are columns", UINT64_MAX,
                              (int64_t)groups, err);
    c->group_size = mx ? 32 : c->groups == 1 ? c->cols : cq__coded_wish(s, c, "group_size", c->groups);
    if (!c->group_size)
        return cq__coded_fail(scales, CQ_ERR_FORMAT, "has not as many groups as a group_size of config_groups asks "
                              "for, or several do", UINT64_MAX, (int64_t)groups, err);
    return CQ_OK;
}

static cq_status cq__coded_compressed(const cq__scheme *s, const cq_weights *w, const cq_named *q, cq__coded *c,
                                      cq_error *err) {
    const cq_named *shape = cq__find_joined(w, q->name, c->module, ".weight_shape");
    uint64_t rows = q->shape[0], cols = 0;
    bool per_row;
    c->zeros = cq__find_joined(w, q->name, c->module, ".weight_zero_point");
    c->scales = cq__find_joined(w, q->name, c->module, ".weight_scale");
    c->g_idx = cq__find_joined(w, q->name, c->module, ".weight_g_idx");
    if (q->ndim != 2 || !rows || rows > CQ__CODED_MOST)
        return cq__coded_fail(q, CQ_ERR_FORMAT, "should have two dimensions", UINT64_MAX, q->ndim, err);
    c->rows = (size_t)rows;
    if (q->dtype == CQ_DTYPE_U8 || q->dtype == CQ_DTYPE_F8_E4M3) return cq__coded_floats(s, q, c, err);
    if (q->dtype != CQ_DTYPE_I32)
        return cq__coded_fail(q, CQ_ERR_FORMAT, "should be I32 or U8", UINT64_MAX, q->dtype, err);
    if (!shape || shape->dtype != CQ_DTYPE_I64 || shape->ndim != 1 || shape->shape[0] != 2 ||
        cq__u64(shape->data) != rows || !(cols = cq__u64(shape->data + 8)) || cols > CQ__CODED_MOST)
        return cq__coded_fail(q, CQ_ERR_FORMAT, "needs weight_shape beside it, I64: its rows, and columns", UINT64_MAX,
                              (int64_t)rows, err);
    c->cols = (size_t)cols;
    per_row = c->scales && (c->scales->ndim == 1 || (c->scales->ndim == 2 && c->scales->shape[1] == 1)) &&
              c->scales->shape[0] == rows;
    if (!c->scales || !c->scales->t.data || (!per_row && (c->scales->ndim != 2 || c->scales->shape[0] != rows ||
                                                           !c->scales->shape[1] || c->scales->shape[1] > cols)))
        return cq__coded_fail(q, CQ_ERR_FORMAT, "needs weight_scale beside it, floats (outputs, groups)", UINT64_MAX,
                              INT64_MIN, err);
    c->groups = per_row ? 1 : (size_t)c->scales->shape[1];
    c->bits = (unsigned)cq__coded_wish(s, c, "num_bits", q->shape[1] > SIZE_MAX ? SIZE_MAX : (size_t)q->shape[1]);
    if (!c->bits)
        return cq__coded_fail(q, CQ_ERR_FORMAT, "its shape fits no num_bits of config_groups, or several (words in a "
                              "row)", UINT64_MAX, (int64_t)q->shape[1], err);
    if (c->bits != 2 && c->bits != 3 && c->bits != 4 && c->bits != 8)
        return cq__coded_fail(q, CQ_ERR_UNSUPPORTED, "is read with 2, 3, 4 or 8 bits", UINT64_MAX, c->bits, err);
    c->format = cq_format_int(c->bits);
    c->row_bytes = 4 * cq_bits_words(c->cols, c->bits);
    if (c->zeros && !cq__is_matrix(c->zeros, CQ_DTYPE_I32, cq_bits_words(c->rows, c->bits), c->groups))
        return cq__coded_fail(c->zeros, CQ_ERR_FORMAT, "should be I32 (words of the outputs, groups)", UINT64_MAX,
                              c->zeros->ndim, err);
    if (c->g_idx) {
        if (c->g_idx->dtype != CQ_DTYPE_I32 || c->g_idx->ndim != 1 || c->g_idx->shape[0] != cols)
            return cq__coded_fail(c->g_idx, CQ_ERR_FORMAT, "should be I32 (columns)", UINT64_MAX, c->g_idx->ndim, err);
        return cq__coded_groups(c, err);
    }
    c->group_size = cq__coded_wish(s, c, "group_size", c->groups);
    if (!c->group_size)
        return cq__coded_fail(c->scales, CQ_ERR_FORMAT, "has not as many groups as a group_size of config_groups asks "
                              "for, or several do", UINT64_MAX, (int64_t)c->groups, err);
    return CQ_OK;
}

/* The quantised linear whose codes are in q. */
static cq_status cq__coded_open(const cq__scheme *s, const cq_weights *w, const cq_named *q, cq__coded *c,
                                cq_error *err) {
    cq__fill(c, 0, sizeof *c);
    c->codes = q;
    if (!cq__ends(q, cq__codes_suffix(s), &c->module)) (void)cq__ends(q, ".weight", &c->module);
    return s->compressed ? cq__coded_compressed(s, w, q, c, err) : cq__coded_gptq(s, w, q, c, err);
}
/* What it becomes: panels of codes, or of floats. */
static cq_status cq__coded_tensor(cq__coded *c, cq_tensor *t, cq_error *err) {
    cq_status st = cq__coded_values(c, err);
    if (st) return st;
    if (c->storable && c->group_size &&
        cq_tensor_init(t, c->format, CQ_PANELS, c->rows, c->cols, c->groups == 1 ? 0 : c->group_size, c->asym,
                       NULL) == CQ_OK)
        return CQ_OK;
    st = cq_tensor_init(t, CQ_F32, CQ_PANELS, c->rows, c->cols, 0, false, err);
    return st ? cq__coded_fail(c->codes, st, "is too large for this machine", UINT64_MAX, INT64_MIN, err) : CQ_OK;
}

#define CQ__CODED_TASKS 8u
typedef struct cq__coded_job {
    const cq__coded *c;
    const cq_tensor *t;
    unsigned char *out;
    size_t tasks;
    uint8_t *codes; /* (tasks, 16, cols) */
    cq_grid *grids; /* (tasks, 16, groups) */
    float *values;  /* (tasks, 16, cols) */
} cq__coded_job;
/* Panel i, i + tasks, ... */
static void cq__coded_task(void *arg, size_t task) {
    const cq__coded_job *j = (const cq__coded_job *)arg;
    const cq__coded *c = j->c;
    uint8_t *codes = j->codes + task * CQ__ROWS * c->cols;
    cq_grid *grids = j->grids + task * CQ__ROWS * c->groups;
    float *values = j->values + task * CQ__ROWS * c->cols;
    for (size_t p = task; p < cq_panel_count(j->t); p += j->tasks) {
        size_t first = p * CQ__ROWS, n = cq__min(CQ__ROWS, c->rows - first);
        for (size_t r = 0; r < n; r++)
            for (size_t g = 0; g < c->groups; g++) {
                float scale = cq__coded_scale(c, first + r, g);
                grids[r * c->groups + g] = cq_grid_make(scale, (float)cq__coded_zero(c, first + r, g), c->format);
                grids[r * c->groups + g].scale = scale; /* if it cannot be stored, for the floats */
            }
        for (size_t r = 0; r < n; r++) cq__coded_row(c, first + r, codes + r * c->cols);
        if (cq_format_is_coded(j->t->format)) {
            cq_pack_panel(j->t, j->out, p, codes, c->cols, grids, c->groups);
            continue;
        }
        for (size_t r = 0; r < n; r++)
            for (size_t k = 0; k < c->cols; k++)
                values[r * c->cols + k] =
                    cq_grid_value(grids[r * c->groups + cq__coded_group(c, k)], codes[r * c->cols + k]);
        cq_pack_panel_float(j->t, j->out, p, values, c->cols);
    }
}

/* codes becomes the tensor MODULE.weight of the packed list. */
static void cq__coded_entry(const cq__coded *c, const cq_tensor *t, char *name, cq_named *out) {
    static const char weight[] = ".weight";
    cq__fill(out, 0, sizeof *out);
    cq__copy(name, c->codes->name, c->module);
    cq__copy(name + c->module, weight, sizeof weight - 1);
    out->name = name;
    out->name_len = c->module + sizeof weight - 1;
    out->t = *t;
    out->data = t->data;
    out->bytes = t->bytes;
    out->shape[0] = c->rows;
    out->shape[1] = c->cols;
    out->ndim = 2;
    out->dtype = CQ_DTYPE_PACKED;
    out->file = c->codes->file;
}

CQUANT_DEF cq_status cq_checkpoint_read(const cq_context *ctx, const cq_json *config, uint32_t object,
                                        const cq_weights *stored, cq_arena *arena, cq_weights *out, cq_error *err) {
    cq__scheme s;
    cq__coded c;
    cq__coded_job job;
    cq_tensor t;
    cq_named *list;
    uint32_t *order;
    size_t n = 0, modules = 0, cols = 0, groups = 0, panels = 0, all;
    bool codes;
    cq_status st = cq__scheme_read(&s, config, object, err);
    out->list = NULL;
    out->count = 0;
    if (st) return st;
    for (size_t i = 0; i < stored->count; i++) {
        const cq_named *q = &stored->list[i];
        if (!cq__coded_part(&s, stored, q, &codes)) n++;
        if (!codes) continue;
        if ((st = cq__coded_open(&s, stored, q, &c, err)) != CQ_OK) return st;
        cols = cols > c.cols ? cols : c.cols;
        groups = groups > c.groups ? groups : c.groups;
        panels = panels > c.rows / CQ__ROWS + 1 ? panels : c.rows / CQ__ROWS + 1;
        modules++;
    }
    if (!modules)
        return cq_fail_at(err, CQ_ERR_MISSING, "the checkpoint should be quantised, and has no tensor that ends so",
                          cq__codes_suffix(&s), cq__strlen(cq__codes_suffix(&s)), UINT64_MAX, INT64_MIN);
    out->count = n + modules;
    list = (cq_named *)cq_alloc(arena, out->count, sizeof *list);
    order = (uint32_t *)cq_alloc(arena, out->count, sizeof *order);
    job.tasks = cq__min(panels, CQ__CODED_TASKS);
    all = job.tasks * CQ__ROWS;
    if (cols > SIZE_MAX / all / sizeof(cq_grid) || groups > SIZE_MAX / all / sizeof(cq_grid)) arena->failed = true;
    job.codes = (uint8_t *)cq_alloc(arena, arena->failed ? 0 : all, cols);
    job.values = (float *)cq_alloc(arena, arena->failed ? 0 : all * cols, sizeof(float));
    job.grids = (cq_grid *)cq_alloc(arena, arena->failed ? 0 : all * groups, sizeof(cq_grid));
    n = 0;
    for (size_t i = 0; i < stored->count; i++) {
        const cq_named *q = &stored->list[i];
        char *name;
        if (!cq__coded_part(&s, stored, q, &codes)) {
            if (arena->base && !arena->failed) list[n] = *q;
            n++;
            continue;
        }
        if (!codes) continue;
        if ((st = cq__coded_open(&s, stored, q, &c, err)) != CQ_OK ||
            (st = cq__coded_tensor(&c, &t, err)) != CQ_OK)
            return st;
        name = (char *)cq_alloc(arena, c.module + 8, 1);
        job.out = (unsigned char *)cq_alloc(arena, t.bytes, 1);
        if (arena->failed)
            return cq_fail(err, CQ_ERR_MEMORY, "the arena is too small for the weights of a quantised checkpoint");
        if (arena->base) {
            job.c = &c;
            job.t = &t;
            cq_parallel_for(ctx, job.tasks, cq__coded_task, &job);
            t.data = job.out;
            cq__coded_entry(&c, &t, name, &list[n]);
        }
        n++;
    }
    if (!arena->base) return CQ_OK;
    st = cq__named_order(list, order, n, "is there quantised, and as it was before", err);
    if (st) return st;
    cq__named_permute(list, order, n);
    out->list = list;
    return CQ_OK;
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
   from config.json, through expressions. Running, calibrating, rotating, quantising and exporting all read it; nothing
   else names a model. "model llama" below, four lines, is the one to read first.

   TO ADD A MODEL  Write its Python class down as such lines, beginning with `like` the nearest relative, in a file, and
   give it with --arch FILE (cq_model_bind's arch_text): no C is needed. `cquant models --show NAME` prints what there
   is, `cquant inspect` what came of it. An unknown word, a key without a value, a tensor that is missing, misshapen or
   not described: each is an error that names it and its place. When it runs, put it into the table below and its tiny
   checkpoint into tests/reference/arch_configs.py.

   STATEMENTS  one a line; a line that begins with a space goes on the one before it; # before a space is a comment
       model    NAME ...        the model_types of config.json that it describes
       like     NAME            begin as that description does; what follows replaces statements and changes blocks
       blocked  TEXT            known by its names only, it cannot run; the text says what it needs (not passed on)
       config   KEY ...         the text model's part of config.json: the first of these keys that is an object. Keys
                                are looked up there first, and in the whole file after that
       let      NAME EXPR       a value under a name in capital letters, evaluated where it is used; replaces an earlier
       need     EXPR            must be true (in every layer, if it names i): else config.json asks for too much
       root     PATH ...        what a path that begins with '.' begins with: the first under which there is an
                                embedding; '-': nothing
       embed    PATH [scale=EXPR] [norm=NORM] [in=LINEAR] [rows=EXPR]   token embedding; scale and norm come after it;
                                in: a projection to the stream where the table is narrower
       position PATH [offset=EXPR] [steps=EXPR]   learned positions, added; PATH sinusoid: computed, sines, then
                                        cosines, of frequencies 10000^(-k/steps) (absent: half the hidden size - 1)
       side     PATH width=EXPR [rows=EXPR] [scale=EXPR] [in=LINEAR] [in_scale=EXPR] [norm=NORM] [sum_scale=EXPR]
                     [if=EXPR]  a second embedding: each layer has a row of so many numbers, which its mlp with `side`
                                reads: (table[id] * scale + norm(in(x) * in_scale)) * sum_scale, x being the stream as
                                it begins
       input    LINEAR [width=EXPR] [if=EXPR]      two streams: rows of numbers that enter the text stream
       codebook LINEAR [width=EXPR] [rows=EXPR]    rows of the embedding that come from a codebook
       layers   PATH [count=EXPR]       with # for the number; count: LAYERS. A second such line begins a second list,
                                to which the blocks after it belong
       attn | mla | mlp | moe | mamba | mamba2 | conv | delta | lightning | opaque      PREFIX words
                                a block of each layer, in this order. PREFIX: the path of its module in the layer; '-':
                                none; '=': as it is. KIND:LABEL tells blocks of one kind apart
       drop     KIND ...        takes away blocks that `like` brought
       norm     NORM [if=EXPR]  the one before the head; '-': none
       head     PATH [bias=EXPR] [scale=EXPR] [softcap=EXPR] [normalize=EXPR] [rows=EXPR] [out=LINEAR]
                     [dense=LINEAR act=EXPR norm=NORM]    norm(act(dense(h))) first
                                logits = head(h) * scale, capped; PATH|PATH: the first that is there
       tie      EXPR            the head is the embedding; tie absent: if there is no tensor for it
       norms    KIND[+]         what a NORM is unless it says otherwise
       longest  EXPR            positions beyond are refused: there the description would not be exact
       diffusion [shift]        a masked diffusion model [row p predicts token p + 1]
       ignore   GLOB ...        tensors without meaning
       carry    GLOB[=[NAME[^],...]] ...   tensors of a front end, which the text model does not use, are copied as they
                                are. In both '.' at the front is the root, # the number of layers (where token
                                prediction stands). With '=' it is known how they touch the stream: only these linears
                                (patterns, without .weight and .bias) write it, as their output takes the place of
                                embeddings, or is added, with no norm or gain between; they turn with it. ^ its rows are
                                such vectors. Without '=' the stream cannot turn. The last line that matches counts

   NAMES
       LINEAR   NAME[^][!][+BIAS]|...   the tensor NAME.weight, (out, in); ^ it is stored as (in, out); ! it is never
                                quantised (routers and shared gates are not anyway). '+' it has a bias, '+?' if there is
                                one, '+EXPR' if that is true. Several apart by |: the first that is there. Of experts
                                # stands for the number; without it, one tensor holds them all: (experts, out, in)
       NORM     NAME[:KIND][@EPS][+BIAS]   NAME.weight, or NAME. KIND rms, rms1 (gain 1 + w), ln, ln1; NAME '-': without
                                a gain. pre, post, after, joint are relative to the layer, the others to PREFIX
       EXPR     no spaces; keys of config.json a.b, LETS, i (the layer), numbers, 'strings', true, false, null
                a|b             keys that mean the same: the first that is there; all that are there must agree
                a//b            a, or b if a is absent or null
                c?a:b || && == != < <= > >= // + - * / % ! ^ (power)      from the loosest
                x[i]            entry of a list or letter of a string, or of an object under that number; else null
                x[i].a, LET.a   a key of an object that is a value
                is(x,a,...) one of  has(list,x) contains  len(x)  given(key) is there, even if null
                sqrt log exp int floor ceil min(a,b) max(a,b)

   EVERY BLOCK
       pre=NORM post=NORM after=NORM     x = after(x + post(f(pre(x))))
       beside                            reads x as the block before it read it: in parallel
       joint=NORM                        (the last of blocks beside each other) x = x + joint(the sum of all they add)
       if=EXPR                           only in layers where it is true
       scale=EXPR in_scale=EXPR keep=EXPR   x = x + scale * f(in_scale * pre(x)); with keep: keep * pre(x) + ...
       late                              (moe) joins x at the end of the layer
       stream=NAME[+EXPR]                (attn, mlp, moe) then x = x * that number
       text own                          of the text stream; sees its own stream only
   attn   q= k= v= | qk= v= | q= kv= | qkv=, o=     LINEARs; without v, values are keys before their norm
          reuse=EXPR, q= o=     keys and values of the last layer before that has its own, and where EXPR is the same
          layout= 'cat' | 'group' (of each key head its queries, key, value) | 'codegen'     of fused ones
          causal | full     window= chunk= block=       tokens seen back; own chunk only; own block whole and all before
          heads= kv_heads= head_dim= v_dim=             HEADS KV HEAD_DIM and head_dim if absent
          scale_qk= softcap= sinks= clip= k_scale= temper=A,B[,C]  1/sqrt(head_dim); q * (1 + B log(1 + floor((p+C)/A)))
          rope= 'half' | 'inter' | 'neg' | 'none'  theta= scaling= rope_dim=     THETA SCALING ROPE_DIM if absent
          alibi= alibi_scale=
          q_norm= k_norm= v_norm= qk_norm= 'head' | 'full' | 'heads' (each its own)  qk_late (after rope)  qk_if=
          gate=LINEAR | q_gate (beside each q)  gate_act=  gate_head (one value a head)  sub_norm= (before o)
          r3=N (also mla)   q and k of each head, after all this, times the Hadamard matrix of order N (a number)
   mla    q= | q_a= q_a_norm= q_b=, kv_a= kv_a_norm= kv_b= o=  q_rank= kv_rank= nope= rope_dim= v_dim= q_scale=
          kv_scale=
   mlp    gate= up= down= | gate_up= down= | up= down= | gate= side down= (up: the layer's row of the statement side)
          inter= act= limit= gate_scale= sub_norm= act_p= act_n=
          r4=N (also moe)   what down reads (each expert's too), after all this, times the Hadamard matrix of order N
   moe    router= experts= top_k= inter= act= limit=   score= 'softmax' | 'sigmoid' | 'topk_softmax' | 'sparsemixer'
          choice_bias=NAME[+EXPR] groups= top_groups= group_score= 'max' | 'top2' renorm= routed_scale= score_in jitter=
          e_gate= e_up= e_down= | e_gate_up= e_down=, e_pairs (gate and up take turns)   e_in= e_out= latent=
          s_gate= s_up= s_down= | s_gate_up= s_down=, s_inter= s_mix= | mix2=     identity= (experts that do nothing)
          router_norm=NORM (of x, in place of pre) router_scale= (of its scores) e_scale=NAME (a factor of each expert)
   mamba2 in= conv= a_log= d= dt_bias= norm= out=  heads= head_dim= groups= state= kernel= dt_min= dt_max=
          norm_first= mults=
   mamba  in= conv= x= dt= a_log= d= out=  inner= state= rank= kernel= dt_norm= b_norm= c_norm=
   conv   in= conv= out= kernel=
   delta  qkvz= ba= | qkv= z= b= a=, conv= a_log= dt_bias= norm= out=  k_heads= v_heads= k_dim= v_dim= kernel=
   lightning  qkv= gate= norm= out=  heads= head_dim=
   opaque in=NAME,... mid= mid2= out=     only what its linears are called; the description must be blocked
   ================================================================================================================== */
/* [DESCRIPTIONS] */
/* What every description begins with, unless it is `like` another (which began with it). */
static const char cq__prelude[] =
    "let VOCAB    vocab_size|padded_vocab_size\n"
    "let HIDDEN   hidden_size|n_embd|d_model\n"
    "let LAYERS   num_hidden_layers|n_layer|n_layers|num_layers\n"
    "let HEADS    num_attention_heads|n_head|n_heads|num_heads\n"
    "let KV       num_key_value_heads|num_kv_heads|n_kv_heads//HEADS\n"
    "let HEAD_DIM head_dim//HIDDEN/HEADS\n"
    "let INTER    intermediate_size|ffn_dim|n_inner|ffn_hidden_size\n"
    "let EPS      rms_norm_eps|layer_norm_eps|layer_norm_epsilon|norm_eps|norm_epsilon|layernorm_epsilon//1e-6\n"
    "let ACT      hidden_act|hidden_activation|activation_function//'silu'\n"
    "let MASK     mask_token_id\n"
    "let CONTEXT  max_position_embeddings|n_positions|max_sequence_length|seq_length\n"
    "let THETA    rope_parameters.rope_theta|rope_theta|rotary_emb_base//10000\n"
    "let SCALING  rope_parameters//rope_scaling\n"
    "let PARTIAL  1\n"
    "let ROPE_DIM int(HEAD_DIM*PARTIAL)\n"
    "root model\n"
    "embed .embed_tokens\n"
    "layers .layers.#\n"
    "norm .norm\n"
    "head lm_head\n"
    "tie tie_word_embeddings//false\n"
    "norms rms\n"
    "ignore *.rotary_emb.inv_freq\n"
    "need PARTIAL!=1||(rope_parameters.partial_rotary_factor|partial_rotary_factor|rotary_pct//1)==1\n";

#ifndef CQUANT_NO_ARCHS /* .cq files bring their own */
static const char *const cq__archs[] = {
    "model llama yi Yi xverse\n"
    "attn self_attn pre=input_layernorm causal q=q_proj+attention_bias k=k_proj+attention_bias\n"
    "  v=v_proj+attention_bias o=o_proj+attention_bias\n"
    "mlp mlp pre=post_attention_layernorm gate=gate_proj+mlp_bias up=up_proj+mlp_bias down=down_proj+mlp_bias\n",

    "model longllama   # beyond its last window of tokens, its CONTEXT, some layers look into a memory\n"
    "like llama\n"
    "let CONTEXT last_context_length//1024\n"
    "longest CONTEXT\n",

    "model internlm\n"
    "like llama\n"
    "attn = q=q_proj+(bias//true) k=k_proj+(bias//true) v=v_proj+(bias//true) o=o_proj+(bias//true)\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj\n"
    "let THETA rotary.base|rope_theta//10000\n"
    "let SCALING rope_scaling|rotary\n",

    "model mistral\n"
    "like llama\n"
    "need given(num_key_value_heads)\n"
    "attn = q=q_proj k=k_proj v=v_proj o=o_proj\n"
    "  window=given(sliding_window)?sliding_window:4096\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj\n",

    "model ministral\n"
    "like mistral\n"
    "attn = window=!layer_types||layer_types[i]=='sliding_attention'?sliding_window:null\n",

    "model ministral3   # its first position is 0 where llama4's is 1: one position in A is scaled differently\n"
    "like mistral\n"
    "need given(rope_parameters)||given(rope_scaling)\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let THETA rope_parameters.rope_theta|rope_scaling.rope_theta|rope_theta//1000000\n"
    "let BETA rope_parameters.llama_4_scaling_beta|rope_scaling.llama_4_scaling_beta\n"
    "attn = window=sliding_window\n"
    "  temper=rope_parameters.original_max_position_embeddings|rope_scaling.original_max_position_embeddings,BETA,0\n",

    "model qwen2\n"
    "like llama\n"
    "let KV given(num_key_value_heads)?num_key_value_heads//HEADS:32\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':i>=(max_window_layers//28)\n"
    "attn = q=q_proj+ k=k_proj+ v=v_proj+ o=o_proj window=use_sliding_window&&SLIDING?sliding_window:null\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj\n",

    "model Dream dream\n"
    "like qwen2\n"
    "attn = -causal full -window\n"
    "need !(use_sliding_window//false)\n"
    "diffusion shift\n",

    "model qwen3 marin\n"
    "like qwen2\n"
    "attn = q=q_proj+attention_bias k=k_proj+attention_bias v=v_proj+attention_bias o=o_proj+attention_bias\n"
    "  q_norm=q_norm k_norm=k_norm\n"
    "let HEAD_DIM head_dim//128\n",

    "model smollm3\n"
    "like llama\n"
    "need given(num_key_value_heads)\n"
    "let ROPED no_rope_layers?no_rope_layers[i]!=0:(i+1)%(no_rope_layer_interval//4)!=0\n"
    "attn = rope=ROPED?'half':'none'\n"
    "  window=use_sliding_window&&(layer_types?layer_types[i]=='sliding_attention':!ROPED)?sliding_window:null\n"
    "let THETA rope_parameters.rope_theta|rope_theta//2000000\n"
    "tie tie_word_embeddings//true\n",

    "model seed_oss\n"
    "like llama\n"
    "need given(num_key_value_heads)\n"
    "let HEAD_DIM head_dim//128\n"
    "attn = q=q_proj+(attention_bias//true) k=k_proj+(attention_bias//true) v=v_proj+(attention_bias//true)\n"
    "  o=o_proj+attention_out_bias\n",

    "model granite\n"
    "like llama\n"
    "embed .embed_tokens scale=embedding_multiplier//1\n"
    "head lm_head scale=1/(logits_scaling//1)\n"
    "attn = scale=residual_multiplier//1 scale_qk=attention_multiplier//1\n"
    "mlp = scale=residual_multiplier//1\n",

    "model hyperclovax   # logits_scaling multiplies\n"
    "like granite\n"
    "head lm_head scale=logits_scaling//1\n"
    "attn = scale_qk=attention_multiplier//1/sqrt(HEAD_DIM) post=post_norm1\n"
    "mlp = post=post_norm2\n"
    "need use_post_norm//true\n",

    "model minicpm\n"
    "like llama\n"
    "embed .embed_tokens scale=scale_emb//1\n"
    "head lm_head scale=(dim_model_base//1)/HIDDEN\n"
    "attn = scale=(scale_depth//1)/sqrt(LAYERS)\n"
    "mlp = scale=(scale_depth//1)/sqrt(LAYERS)\n"
    "tie tie_word_embeddings//true\n"
    "need !(num_experts//0)\n",

    "model arcee\n"
    "like llama\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let ACT hidden_act//'relu2'\n"
    "mlp = -gate\n",

    "model helium\n"
    "like llama\n"
    "need given(num_key_value_heads)\n"
    "let HEAD_DIM head_dim//128\n"
    "let EPS rms_norm_eps//1e-8\n"
    "let THETA rope_parameters.rope_theta|rope_theta//100000\n"
    "attn = rope='inter' o=o_proj\n",

    "model internlm3\n"
    "like llama\n"
    "need given(num_key_value_heads)\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let HEAD_DIM head_dim//128\n"
    "let QKV_BIAS qkv_bias|attention_bias\n"
    "let BIAS bias|mlp_bias\n"
    "attn = q=q_proj+QKV_BIAS k=k_proj+QKV_BIAS v=v_proj+QKV_BIAS o=o_proj+BIAS\n"
    "mlp = gate=gate_proj+BIAS up=up_proj+BIAS down=down_proj+BIAS\n",

    "model ernie4_5\n"
    "like llama\n"
    "need given(num_key_value_heads)\n"
    "let HEAD_DIM head_dim//128\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let THETA rope_parameters.rope_theta|rope_theta//500000\n"
    "attn = q=q_proj+use_bias k=k_proj+use_bias v=v_proj+use_bias o=o_proj+use_bias rope='inter'\n"
    "mlp = gate=gate_proj+use_bias up=up_proj+use_bias down=down_proj+use_bias\n"
    "tie tie_word_embeddings//true\n",

    "model hunyuan_v1_dense   # q and k are normed after rope; alpha stretches the base, whatever the length\n"
    "like llama\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let ALPHA rope_parameters.alpha|rope_scaling.alpha\n"
    "let BASE rope_parameters.rope_theta|rope_theta//10000\n"
    "let THETA ALPHA?BASE*ALPHA^(HEAD_DIM/(HEAD_DIM-2)):BASE\n"
    "let SCALING ALPHA?null:rope_parameters//rope_scaling\n"
    "attn = q_norm=query_layernorm k_norm=key_layernorm qk_late\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj\n",

    "model olmo\n"
    "like llama\n"
    "norms ln\n"
    "norm -@1e-5\n"
    "attn = pre=-@1e-5 clip=clip_qkv\n"
    "mlp = pre=-@1e-5 gate=gate_proj up=up_proj down=down_proj\n",

    "model olmo2\n"
    "like llama\n"
    "let EPS rms_norm_eps//1e-5\n"
    "attn = -pre post=post_attention_layernorm q_norm=q_norm k_norm=k_norm qk_norm='full'\n"
    "mlp = -pre post=post_feedforward_layernorm gate=gate_proj up=up_proj down=down_proj\n",

    "model olmo3\n"
    "like olmo2\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':(i+1)%4!=0\n"
    "let ROPE SLIDING?rope_parameters.sliding_attention.rope_theta:rope_parameters.full_attention.rope_theta\n"
    "attn = window=SLIDING?sliding_window//4096:null theta=ROPE//(rope_parameters.rope_theta|rope_theta//500000)\n"
    "  scaling=SLIDING?rope_parameters.sliding_attention:rope_parameters.full_attention//rope_scaling\n",

    "model exaone4   # layers that see everything have no rope, if any slides\n"
    "like llama\n"
    "need given(num_key_value_heads)&&given(sliding_window)\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let EVERY sliding_window_pattern//4\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':sliding_window&&(i+1)%EVERY!=0\n"
    "attn = -pre post=post_attention_layernorm q=q_proj k=k_proj v=v_proj o=o_proj q_norm=q_norm k_norm=k_norm\n"
    "  window=SLIDING?sliding_window:null rope=sliding_window&&!SLIDING?'none':'half'\n"
    "mlp = -pre post=post_feedforward_layernorm gate=gate_proj up=up_proj down=down_proj\n",

    "model stablelm stablelm_epoch\n"
    "like llama\n"
    "norms ln+\n"
    "need given(num_key_value_heads)\n"
    "let EPS layer_norm_eps|norm_eps//1e-5\n"
    "let PARALLEL use_parallel_residual//false\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor|rope_pct//0.25\n"
    "attn = q=q_proj+use_qkv_bias k=k_proj+use_qkv_bias v=v_proj+use_qkv_bias o=o_proj\n"
    "  qk_if=qk_layernorm//false qk_norm='heads' q_norm=q_layernorm.norms.#:ln k_norm=k_layernorm.norms.#:ln\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj if=!PARALLEL\n"
    "mlp:parallel mlp pre=input_layernorm beside gate=gate_proj up=up_proj down=down_proj if=PARALLEL\n",

    "model starcoder2\n"
    "like llama\n"
    "norms ln+\n"
    "need given(num_key_value_heads)\n"
    "let EPS norm_epsilon//1e-5\n"
    "let ACT hidden_act//'gelu_pytorch_tanh'\n"
    "let BIAS use_bias//true\n"
    "attn = q=q_proj+BIAS k=k_proj+BIAS v=v_proj+BIAS o=o_proj+BIAS window=sliding_window\n"
    "mlp = -gate up=c_fc+BIAS down=c_proj+BIAS\n"
    "tie tie_word_embeddings//true\n",

    "model nemotron\n"
    "like llama\n"
    "norms ln1+\n"
    "let EPS norm_eps//1e-5\n"
    "let ACT hidden_act//'relu2'\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//0.5\n"
    "mlp = -gate\n",

    "model cohere\n"
    "like llama\n"
    "norms ln\n"
    "let EPS layer_norm_eps//1e-5\n"
    "let THETA rope_parameters.rope_theta|rope_theta//500000\n"
    "attn = rope='inter' qk_if=use_qk_norm//false qk_norm='heads' q_norm=q_norm k_norm=k_norm\n"
    "mlp = pre=input_layernorm beside gate=gate_proj up=up_proj down=down_proj\n"
    "head lm_head scale=logit_scale//1/16\n"
    "tie tie_word_embeddings//true\n",

    "model cohere2   # layers that see everything have no rope\n"
    "like cohere\n"
    "let THETA rope_parameters.rope_theta|rope_theta//10000\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':(i+1)%(sliding_window_pattern//4)!=0\n"
    "attn = -qk_if -qk_norm -q_norm -k_norm window=SLIDING?sliding_window//4096:null rope=SLIDING?'inter':'none'\n",

    "model glm\n"
    "like llama\n"
    "need given(num_key_value_heads)\n"
    "let HEAD_DIM head_dim//128\n"
    "let EPS rms_norm_eps//1.5625e-7\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//0.5\n"
    "let BIAS attention_bias//true\n"
    "attn = q=q_proj+BIAS k=k_proj+BIAS v=v_proj+BIAS o=o_proj rope='inter'\n"
    "mlp = -gate -up gate_up=gate_up_proj down=down_proj\n",

    "model glm4\n"
    "like glm\n"
    "attn = post=post_self_attn_layernorm\n"
    "mlp = post=post_mlp_layernorm\n",

    "model gemma\n"
    "like llama\n"
    "norms rms1\n"
    "need !use_bidirectional_attention\n"
    "let KV num_key_value_heads//16\n"
    "embed .embed_tokens scale=sqrt(HIDDEN)\n"
    "let HEAD_DIM head_dim//256\n"
    "let ACT hidden_activation//((hidden_act//'gelu')=='gelu'?'gelu_pytorch_tanh':hidden_act)\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj\n"
    "tie tie_word_embeddings//true\n",

    "model gemma2\n"
    "like gemma\n"
    "let KV num_key_value_heads//4\n"
    "let ACT hidden_activation//'gelu_pytorch_tanh'\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':i%2==0\n"
    "attn = post=post_attention_layernorm window=SLIDING?sliding_window//4096:null\n"
    "  scale_qk=1/sqrt(query_pre_attn_scalar//256) softcap=given(attn_logit_softcapping)?attn_logit_softcapping:50\n"
    "mlp = pre=pre_feedforward_layernorm post=post_feedforward_layernorm\n"
    "head lm_head softcap=given(final_logit_softcapping)?final_logit_softcapping:30\n",

    "model vaultgemma\n"
    "like gemma2\n"
    "attn = -post\n"
    "mlp = -post\n",

    "model gemma3_text   # published files leave much to the class's defaults\n"
    "like gemma2\n"
    "let VOCAB vocab_size//262208\n"
    "let HEADS num_attention_heads//8\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':(i+1)%(sliding_window_pattern//6)!=0\n"
    "let LOCAL rope_parameters.sliding_attention.rope_theta|rope_local_base_freq//10000\n"
    "let GLOBAL rope_parameters.full_attention.rope_theta|rope_theta//1000000\n"
    "attn = q_norm=q_norm k_norm=k_norm -softcap theta=SLIDING?LOCAL:GLOBAL\n"
    "  scaling=SLIDING?rope_parameters.sliding_attention:rope_parameters.full_attention//rope_scaling\n"
    "head lm_head softcap=final_logit_softcapping\n",

    "model phi\n"
    "like llama\n"
    "norms ln+\n"
    "let EPS layer_norm_eps//1e-5\n"
    "let ACT hidden_act//'gelu_new'\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//0.5\n"
    "attn = q=q_proj+ k=k_proj+ v=v_proj+ o=dense+ qk_if=qk_layernorm//false q_norm=q_layernorm k_norm=k_layernorm\n"
    "mlp = pre=input_layernorm beside -gate up=fc1+ down=fc2+\n"
    "norm .final_layernorm\n"
    "head lm_head bias=true\n",

    "model persimmon\n"
    "like phi\n"
    "let ACT hidden_act//'relu2'\n"
    "attn = -q -k -v qkv=query_key_value+ layout='group' qk_if=qk_layernorm//true\n"
    "mlp = pre=post_attention_layernorm -beside up=dense_h_to_4h+ down=dense_4h_to_h+\n"
    "head lm_head\n",

    "model phi3\n"
    "like llama\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//1\n"
    "let EPS rms_norm_eps//1e-5\n"
    "attn = -q -k -v qkv=qkv_proj o=o_proj window=sliding_window\n"
    "mlp = -gate -up gate_up=gate_up_proj down=down_proj\n",

    "model apertus\n"
    "like llama\n"
    "need is(hidden_act//'xielu','xielu')&&(rope_parameters||rope_scaling)\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let ACT hidden_act//'xielu'\n"
    "let THETA rope_parameters.rope_theta|rope_theta//12000000\n"
    "attn = pre=attention_layernorm q_norm=q_norm k_norm=k_norm\n"
    "mlp = pre=feedforward_layernorm -gate up=up_proj down=down_proj act_p=act_fn.alpha_p act_n=act_fn.alpha_n\n"
    "ignore *.act_fn.beta *.act_fn.eps\n",

    "model bitnet   # as trained: the linears are not made ternary here\n"
    "like llama\n"
    "need given(num_key_value_heads)&&!quantization_config\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let ACT hidden_act//'relu2'\n"
    "let THETA rope_parameters.rope_theta|rope_theta//500000\n"
    "attn = sub_norm=attn_sub_norm\n"
    "mlp = sub_norm=ffn_sub_norm gate=gate_proj up=up_proj down=down_proj\n",

    "model nanochat\n"
    "like llama\n"
    "let ACT hidden_act//'relu2'\n"
    "embed .embed_tokens norm=-\n"
    "attn = pre=- rope='neg' q_norm=- k_norm=- qk_late\n"
    "mlp = pre=- -gate up=fc1 down=fc2\n"
    "norm -@EPS\n"
    "head lm_head softcap=given(final_logit_softcapping)?final_logit_softcapping:15\n",

    "model internlm2\n"
    "like llama\n"
    "embed .tok_embeddings\n"
    "head output\n"
    "attn attention pre=attention_norm -q -k -v qkv=wqkv+(bias//true) layout='group' o=wo+(bias//true)\n"
    "mlp feed_forward pre=ffn_norm gate=w1 up=w3 down=w2\n",

    "model baichuan   # version 2 scales the head's rows to length 1; 13B has alibi in place of rope\n"
    "like llama\n"
    "let NEW given(z_loss_weight)||vocab_size==125696\n"
    "let ALIBI !given(max_position_embeddings)||num_attention_heads==40\n"
    "let CONTEXT max_position_embeddings//model_max_length\n"
    "attn = -q -k -v qkv=W_pack o=o_proj rope=ALIBI?'none':'half' alibi=ALIBI\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj\n"
    "head lm_head normalize=NEW\n",

    "model qwen   # beyond seq_length, its CONTEXT, the base and the queries grow\n"
    "like llama\n"
    "root transformer -\n"
    "embed .wte\n"
    "layers .h.#\n"
    "norm .ln_f\n"
    "let CONTEXT seq_length\n"
    "let EPS layer_norm_epsilon//1e-6\n"
    "let HEAD_DIM kv_channels//128\n"
    "let PARTIAL rotary_pct//1\n"
    "let BIAS !(no_bias//true)\n"
    "attn attn pre=ln_1 -q -k -v qkv=c_attn+ o=c_proj+BIAS\n"
    "mlp mlp pre=ln_2 gate=w2+BIAS up=w1+BIAS down=c_proj+BIAS inter=intermediate_size/2 act='silu'\n"
    "longest CONTEXT\n",

    "model exaone\n"
    "like llama\n"
    "root transformer\n"
    "embed .wte\n"
    "layers .h.#\n"
    "norm .ln_f\n"
    "let EPS layer_norm_epsilon//1e-5\n"
    "attn attn.attention pre=ln_1 q=q_proj k=k_proj v=v_proj o=out_proj\n"
    "mlp mlp pre=ln_2 gate=c_fc_0 up=c_fc_1 down=c_proj\n",

    "model chatglm   # the second and third, and the first glm-4\n"
    "like llama\n"
    "root transformer\n"
    "embed .embedding.word_embeddings\n"
    "layers .encoder.layers.#\n"
    "norm .encoder.final_layernorm\n"
    "head .output_layer\n"
    "need (rmsnorm//true)&&(post_layer_norm//true)&&!apply_residual_connection_post_layernorm&&!pre_seq_len\n"
    "need given(padded_vocab_size)\n"
    "let VOCAB padded_vocab_size\n"
    "let KV multi_query_attention?multi_query_group_num:HEADS\n"
    "let HEAD_DIM kv_channels\n"
    "let INTER ffn_hidden_size\n"
    "let EPS layernorm_epsilon//1e-5\n"
    "let THETA 10000*(rope_ratio//1)\n"
    "let BIAS add_bias_linear\n"
    "attn self_attention -q -k -v qkv=query_key_value+(add_qkv_bias||BIAS) o=dense+BIAS rope='inter'\n"
    "  rope_dim=HEAD_DIM/2\n"
    "mlp = -gate -up gate_up=dense_h_to_4h+BIAS down=dense_4h_to_h+BIAS act='silu'\n"
    "ignore transformer.rotary_pos_emb.inv_freq\n"
    "carry transformer.vision.*\n",

    "model llada   # masked diffusion\n"
    "like llama\n"
    "need is(block_type//'sequential','llama')&&is(layer_norm_type//'default','rms')&&(rope//false)&&!alibi\n"
    "need !attention_layer_norm&&!scale_logits&&!input_emb_norm\n"
    "root model.transformer\n"
    "embed .wte\n"
    "layers .blocks.#\n"
    "norm .ln_f\n"
    "head .ff_out\n"
    "let VOCAB embedding_size//vocab_size\n"
    "let KV n_kv_heads//HEADS\n"
    "let INTER mlp_hidden_size\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let ACT activation_type//'silu'\n"
    "let BIAS include_bias//false\n"
    "let QKV_BIAS BIAS||include_qkv_bias\n"
    "attn - pre=attn_norm -causal full q=q_proj+QKV_BIAS k=k_proj+QKV_BIAS v=v_proj+QKV_BIAS o=attn_out+BIAS\n"
    "mlp - pre=ff_norm gate=ff_proj+BIAS up=up_proj+BIAS down=ff_out+BIAS\n"
    "tie weight_tying//true\n"
    "diffusion\n",

    "model gpt2\n"
    "norms ln+\n"
    "root transformer -\n"
    "embed .wte\n"
    "position .wpe\n"
    "layers .h.#\n"
    "norm .ln_f\n"
    "need !add_cross_attention\n"
    "let EPS layer_norm_epsilon//1e-5\n"
    "let ACT activation_function//'gelu_new'\n"
    "attn attn pre=ln_1 causal qkv=c_attn^+ o=c_proj^+ rope='none'\n"
    "  scale_qk=((scale_attn_weights//true)?1/sqrt(HEAD_DIM):1)/(scale_attn_by_inverse_layer_idx?i+1:1)\n"
    "mlp mlp pre=ln_2 up=c_fc^+ down=c_proj^+ inter=n_inner//4*HIDDEN\n"
    "tie tie_word_embeddings//true\n"
    "ignore *.attn.bias *.attn.masked_bias\n",

    "model gpt_bigcode\n"
    "like gpt2\n"
    "let KV (multi_query//true)?1:HEADS\n"
    "let ACT activation_function//'gelu_pytorch_tanh'\n"
    "attn = qkv=c_attn+ o=c_proj+ layout='group' scale_qk=(scale_attn_weights//true)?1/sqrt(HEAD_DIM):1\n"
    "mlp = up=c_fc+ down=c_proj+\n",

    "model gpt_neo\n"
    "like gpt2\n"
    "need attention_layers||len(attention_types)==1\n"
    "let WAY attention_layers?attention_layers[i]:attention_types[0][0][i%len(attention_types[0][0])]\n"
    "attn attn.attention -qkv q=q_proj k=k_proj v=v_proj o=out_proj+ scale_qk=1\n"
    "  window=WAY=='local'?window_size//256:null\n"
    "mlp = up=c_fc+ down=c_proj+ inter=intermediate_size//4*HIDDEN\n"
    "ignore *.attention.bias *.attention.masked_bias\n",

    "model gptj\n"
    "norms ln+\n"
    "root transformer -\n"
    "embed .wte\n"
    "layers .h.#\n"
    "norm .ln_f\n"
    "head lm_head bias=true\n"
    "let EPS layer_norm_epsilon//1e-5\n"
    "let ACT activation_function//'gelu_new'\n"
    "attn attn pre=ln_1 causal q=q_proj k=k_proj v=v_proj o=out_proj rope='inter' rope_dim=rotary_dim//64\n"
    "mlp mlp pre=ln_1 beside up=fc_in+ down=fc_out+ inter=n_inner//4*HIDDEN\n"
    "ignore *.attn.bias *.attn.masked_bias\n",

    "model codegen moss   # the fused tensor is in four blocks, values before keys\n"
    "like gptj\n"
    "attn = -q -k -v qkv=qkv_proj layout='codegen'\n"
    "ignore *.attn.causal_mask\n",

    "model gpt_neox\n"
    "norms ln+\n"
    "root gpt_neox\n"
    "embed .embed_in\n"
    "layers .layers.#\n"
    "norm .final_layer_norm\n"
    "head embed_out\n"
    "let EPS layer_norm_eps//1e-5\n"
    "let ACT hidden_act//'gelu'\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor|rotary_pct//0.25\n"
    "let THETA rope_parameters.rope_theta|rope_theta|rotary_emb_base//10000\n"
    "let BIAS attention_bias//true\n"
    "let PARALLEL use_parallel_residual//true\n"
    "attn attention pre=input_layernorm causal qkv=query_key_value+BIAS layout='group' o=dense+BIAS\n"
    "mlp mlp pre=post_attention_layernorm up=dense_h_to_4h+ down=dense_4h_to_h+ if=!PARALLEL\n"
    "mlp:parallel mlp pre=post_attention_layernorm beside up=dense_h_to_4h+ down=dense_4h_to_h+ if=PARALLEL\n"
    "ignore *.attention.bias *.attention.masked_bias\n",

    "model opt\n"
    "norms ln+\n"
    "root model.decoder decoder\n"
    "embed .embed_tokens in=.project_in\n"
    "position .embed_positions offset=2\n"
    "layers .layers.#\n"
    "norm .final_layer_norm if=BEFORE\n"
    "head lm_head out=.project_out\n"
    "need layer_norm_elementwise_affine//true\n"
    "let BEFORE do_layer_norm_before//true\n"
    "let ACT activation_function//'relu'\n"
    "let BIAS enable_bias//true\n"
    "let EPS 1e-5\n"
    "attn self_attn pre=self_attn_layer_norm causal q=q_proj+BIAS k=k_proj+BIAS v=v_proj+BIAS o=out_proj+BIAS\n"
    "  rope='none' if=BEFORE\n"
    "attn:post self_attn after=self_attn_layer_norm causal q=q_proj+BIAS k=k_proj+BIAS v=v_proj+BIAS\n"
    "  o=out_proj+BIAS rope='none' if=!BEFORE\n"
    "mlp - pre=final_layer_norm up=fc1+BIAS down=fc2+BIAS inter=ffn_dim if=BEFORE\n"
    "mlp:post - after=final_layer_norm up=fc1+BIAS down=fc2+BIAS inter=ffn_dim if=!BEFORE\n"
    "tie tie_word_embeddings//true\n",

    "model bloom\n"
    "norms ln+\n"
    "root transformer -\n"
    "embed .word_embeddings norm=.word_embeddings_layernorm\n"
    "layers .h.#\n"
    "norm .ln_f\n"
    "need !apply_residual_connection_post_layernorm\n"
    "let HIDDEN hidden_size|n_embed\n"
    "let EPS layer_norm_epsilon//1e-5\n"
    "attn self_attention pre=input_layernorm causal qkv=query_key_value+ layout='group' o=dense+\n"
    "  rope='none' alibi=true\n"
    "mlp mlp pre=post_attention_layernorm up=dense_h_to_4h+ down=dense_4h_to_h+ inter=4*HIDDEN act='gelu_tanh'\n"
    "tie tie_word_embeddings//true\n",

    "model falcon refinedWeb refinedWebModel RefinedWeb RefinedWebModel\n"
    "norms ln+\n"
    "root transformer\n"
    "embed .word_embeddings\n"
    "layers .h.#\n"
    "norm .ln_f\n"
    "let HIDDEN hidden_size|n_embed\n"
    "let EPS layer_norm_epsilon//1e-5\n"
    "let NEW new_decoder_architecture//given(n_head_kv)\n"
    "let KV NEW?num_kv_heads|n_head_kv//HEADS:(multi_query//true)?1:HEADS\n"
    "let BESIDE NEW||(parallel_attn//true)\n"
    "let TWO NEW&&(num_ln_in_parallel_attn//2)==2\n"
    "need !NEW||(parallel_attn//true)\n"
    "attn self_attention pre=input_layernorm causal qkv=query_key_value+bias layout='group' o=dense+bias\n"
    "  rope=alibi?'none':'half' alibi=alibi//false alibi_scale=1/sqrt(HEAD_DIM) if=!TWO\n"
    "attn:two self_attention pre=ln_attn causal qkv=query_key_value+bias layout='group' o=dense+bias\n"
    "  rope=alibi?'none':'half' alibi=alibi//false alibi_scale=1/sqrt(HEAD_DIM) if=TWO\n"
    "mlp mlp pre=post_attention_layernorm up=dense_h_to_4h+bias down=dense_4h_to_h+bias\n"
    "  inter=ffn_hidden_size//4*HIDDEN act=activation//'gelu' if=!BESIDE\n"
    "mlp:one mlp pre=input_layernorm beside up=dense_h_to_4h+bias down=dense_4h_to_h+bias\n"
    "  inter=ffn_hidden_size//4*HIDDEN act=activation//'gelu' if=BESIDE&&!TWO\n"
    "mlp:two mlp pre=ln_mlp beside up=dense_h_to_4h+bias down=dense_4h_to_h+bias\n"
    "  inter=ffn_hidden_size//4*HIDDEN act=activation//'gelu' if=TWO\n"
    "tie tie_word_embeddings//true\n",

    "model mpt\n"
    "norms ln\n"
    "root transformer\n"
    "embed .wte\n"
    "layers .blocks.#\n"
    "norm .norm_f\n"
    "need (no_bias//true)&&!logit_scale&&(attn_config.alibi//true)&&(attn_config.alibi_bias_max//8)==8\n"
    "need !attn_config.qk_ln&&!attn_config.prefix_lm\n"
    "need is(attn_config.attn_type//'multihead_attention','multihead_attention')\n"
    "let CONTEXT max_seq_len\n"
    "let EPS layer_norm_epsilon//1e-5\n"
    "attn attn pre=norm_1 causal qkv=Wqkv o=out_proj clip=attn_config.clip_qkv rope='none' alibi=true\n"
    "  scale_qk=attn_config.softmax_scale//1/sqrt(HEAD_DIM)\n"
    "mlp ffn pre=norm_2 up=up_proj down=down_proj inter=4*HIDDEN act='gelu'\n"
    "tie tie_word_embeddings//true\n",

    "model xglm\n"
    "norms ln+\n"
    "embed .embed_tokens scale=(scale_embedding//true)?sqrt(HIDDEN):1\n"
    "position sinusoid offset=2\n"
    "norm .layer_norm\n"
    "let HEADS attention_heads|num_attention_heads\n"
    "let EPS 1e-5\n"
    "let ACT activation_function//'gelu'\n"
    "attn self_attn pre=self_attn_layer_norm causal q=q_proj+ k=k_proj+ v=v_proj+ o=out_proj+ rope='none'\n"
    "mlp - pre=final_layer_norm up=fc1+ down=fc2+ inter=ffn_dim\n"
    "tie tie_word_embeddings//true\n",

    "model biogpt   # layer_norm_eps is not what its norms use\n"
    "like xglm\n"
    "root biogpt\n"
    "position .embed_positions offset=2\n"
    "head output_projection\n"
    "let HEADS num_attention_heads\n"
    "let ACT hidden_act//'gelu'\n"
    "mlp = inter=intermediate_size\n",

    "model iquestcoder\n"
    "like llama\n"
    "need given(num_key_value_heads)&&!clip_qkv&&!use_sliding_window\n"
    "let HEAD_DIM head_dim//128\n"
    "let EPS rms_norm_eps//1e-5\n",

    "model cwm\n"
    "like llama\n"
    "need given(num_key_value_heads)&&(rope_parameters||rope_scaling)\n"
    "let HEAD_DIM head_dim//128\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let THETA rope_parameters.rope_theta|rope_theta//1000000\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':i%4!=0\n"
    "attn = q=q_proj k=k_proj v=v_proj o=o_proj window=SLIDING?sliding_window//8192:null\n",

    "model jais2\n"
    "like llama\n"
    "norms ln+\n"
    "let EPS layer_norm_eps//1e-5\n"
    "let ACT hidden_act//'relu2'\n"
    "let ATTN attention_bias//true\n"
    "let MLP mlp_bias//true\n"
    "attn = q=q_proj+ATTN k=k_proj+ATTN v=v_proj+ATTN o=o_proj+ATTN\n"
    "mlp = -gate up=up_proj+MLP down=down_proj+MLP\n",

    "model granite_swa\n"
    "like granite\n"
    "need given(num_key_value_heads)\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':i%4!=0\n"
    "let BASE layer_rope_theta?layer_rope_theta[i]:THETA\n"
    "attn = sinks=sinks window=SLIDING?sliding_window//128:null theta=BASE rope=BASE?'half':'none'\n"
    "tie tie_word_embeddings//true\n",

    "model openai-gpt   # norms after the sums, none before the head\n"
    "norms ln+\n"
    "root transformer -\n"
    "embed .tokens_embed\n"
    "position .positions_embed\n"
    "layers .h.#\n"
    "norm -\n"
    "let EPS layer_norm_epsilon//1e-5\n"
    "let ACT (afn//'gelu')=='gelu'?'gelu_new':afn\n"
    "attn attn after=ln_1 causal qkv=c_attn^+ o=c_proj^+ rope='none'\n"
    "mlp mlp after=ln_2 up=c_fc^+ down=c_proj^+ inter=4*HIDDEN\n"
    "tie tie_word_embeddings//true\n"
    "ignore *.attn.bias\n",

    "model mobilellm\n"
    "like llama\n"
    "need !layer_sharing\n"
    "tie share_embedding//tie_word_embeddings//false\n",

    "model nanbeige   # its later versions run the layers several times\n"
    "like llama\n"
    "need (num_loops|total_ut_steps//1)==1&&!enable_hyper_connection&&!moe\n",

    "model instella\n"
    "like llama\n"
    "let EPS rms_norm_eps//1e-5\n"
    "attn = pre=pre_attention_layernorm q_norm=q_norm k_norm=k_norm qk_norm='full'\n"
    "mlp = pre=pre_feedforward_layernorm gate=gate_proj up=up_proj down=down_proj\n",

    "model mimo\n"
    "like qwen2\n"
    "carry model.mtp_layers.*\n",

    "model deci\n"
    "like llama\n"
    "need !block_configs\n"
    "attn = kv_heads=num_key_value_heads_per_layer?num_key_value_heads_per_layer[i]:KV\n",

    "model nemotron-nas   # block_configs[i] says of each layer what its attention and its mlp are\n"
    "like llama\n"
    "blocked layers that block_configs describes\n"
    "carry *.self_attn.linear_attn.* *.mlp.linear_mlp.*\n",

    "model telechat   # beyond base_seqlen, its CONTEXT, the base grows\n"
    "like llama\n"
    "root transformer\n"
    "embed .word_embeddings\n"
    "layers .h.#\n"
    "norm .ln_f\n"
    "need !embed_layernorm&&!apply_residual_connection_post_layernorm\n"
    "let CONTEXT base_seqlen//8192\n"
    "let EPS layer_norm_epsilon//1e-5\n"
    "attn self_attention -k -v q=query kv=key_value layout='group' o=dense+\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj+ act='silu'\n"
    "longest CONTEXT\n",

    "model phi4mm   # as for text: without its adapters\n"
    "like phi3\n"
    "attn = qkv=qkv_proj.base_layer o=o_proj.base_layer\n"
    "mlp = gate_up=gate_up_proj.base_layer down=down_proj.base_layer\n"
    "carry *.lora_A.* *.lora_B.* model.embed_tokens_extend.*\n",

    "model llava_qwen2\n"
    "like qwen2\n"
    "carry model.vision_tower.* model.mm_projector.* model.image_newline\n",

    "model minicpmo minicpmv   # on top of minicpm, llama, qwen2 or qwen3: told by what is there\n"
    "like llama\n"
    "root llm.model\n"
    "embed .embed_tokens scale=scale_emb//1\n"
    "head llm.lm_head scale=dim_model_base?dim_model_base/HIDDEN:1\n"
    "let DEPTH scale_depth?scale_depth/sqrt(LAYERS):1\n"
    "attn = q=q_proj+? k=k_proj+? v=v_proj+? o=o_proj+? scale=DEPTH qk_if=is(version//0,4.5,'4.5')\n"
    "  q_norm=q_norm k_norm=k_norm\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj scale=DEPTH\n"
    "tie tie_word_embeddings//given(scale_emb)\n"
    "carry vpm.* resampler.* apm.* audio_projection_layer.* audio_avg_pooler.* tts.* merger.* llm.model.mtp.*\n",

    "model llava   # the text model is llama (whose defaults files rely on), mistral or qwen2\n"
    "like llama\n"
    "config text_config\n"
    "need is(text_config.model_type//'llama','llama','mistral','qwen2')\n"
    "root language_model.model model.language_model model.language_model.model\n"
    "head language_model.lm_head|lm_head\n"
    "let TEXT text_config.model_type//'llama'\n"
    "let VOCAB vocab_size//32000\n"
    "let HIDDEN hidden_size//4096\n"
    "let LAYERS num_hidden_layers//32\n"
    "let HEADS num_attention_heads//32\n"
    "let KV given(num_key_value_heads)?num_key_value_heads//HEADS:TEXT=='mistral'?8:TEXT=='qwen2'?32:HEADS\n"
    "let INTER intermediate_size//(TEXT=='mistral'?14336:TEXT=='qwen2'?22016:11008)\n"
    "let WINDOW TEXT=='mistral'?(given(sliding_window)?sliding_window:4096):null\n"
    "need !use_sliding_window\n"
    "attn = q=q_proj+? k=k_proj+? v=v_proj+? o=o_proj+? window=WINDOW\n"
    "tie absent\n"
    "carry vision_tower.*= multi_modal_projector.*=*.linear_2 model.vision_tower.*=\n"
    "carry model.multi_modal_projector.*=*.linear_2\n"
    "carry image_newline=image_newline model.image_newline=*\n",

    "model openvla\n"
    "like llava\n"
    "carry vision_backbone.* projector.*\n",

    "model deepseek_vl\n"
    "like llava\n"
    "config text_config language_config\n"
    "need is(text_config.model_type//language_config.model_type//'llama','llama')\n"
    "let TEXT 'llama'\n"
    "carry vision_model.*= aligner.*=*.linear2 model.vision_model.*= model.aligner.*=*.linear2\n",

    "model smolvlm\n"
    "like llama\n"
    "config text_config\n"
    "root model.text_model\n"
    "let EPS rms_norm_eps//1e-5\n"
    "need is(text_config.model_type//'llama','llama')\n"
    "tie absent\n"
    "carry model.vision_model.*= model.connector.*=*.modality_projection.proj\n",

    "model glmasr\n"
    "like llama\n"
    "config text_config\n"
    "root language_model.model model.language_model\n"
    "head language_model.lm_head|lm_head\n"
    "need is(text_config.model_type//'llama','llama')\n"
    "let KV num_key_value_heads//4\n"
    "let HEAD_DIM head_dim//128\n"
    "let EPS rms_norm_eps//1e-5\n"
    "tie absent\n"
    "carry audio_tower.*= multi_modal_projector.*=*.linear_2 model.audio_tower.*=\n"
    "carry model.multi_modal_projector.*=*.linear_2\n",

    "model voxtral\n"
    "like glmasr\n"
    "let KV num_key_value_heads//8\n"
    "let THETA rope_parameters.rope_theta|rope_theta//100000000\n",

    "model mistral3   # the text model is mistral, ministral3 or mistral4\n"
    "like mistral\n"
    "config text_config\n"
    "let TEXT text_config.model_type//'mistral'\n"
    "let FOUR TEXT=='mistral4'\n"
    "let PARTIAL FOUR?rope_parameters.partial_rotary_factor|partial_rotary_factor//1:1   # of no meaning there\n"
    "let THETA rope_parameters.rope_theta|rope_scaling.rope_theta|rope_theta//10000\n"
    "need is(TEXT,'mistral','ministral3','mistral4')\n"
    "let ORIGINAL rope_parameters.original_max_position_embeddings|rope_scaling.original_max_position_embeddings\n"
    "let BETA rope_parameters.llama_4_scaling_beta|rope_scaling.llama_4_scaling_beta//0\n"
    "let MALL rope_parameters.mscale_all_dim|rope_scaling.mscale_all_dim//0\n"
    "let FACTOR rope_parameters.factor|rope_scaling.factor//1\n"
    "let MSCALE MALL!=0&&FACTOR>1?0.1*MALL*log(FACTOR)+1:1\n"
    "let SPARSE FOUR&&i>=(first_k_dense_replace//0)\n"
    "attn = if=!FOUR temper=ORIGINAL//1,BETA,0\n"
    "drop mlp\n"
    "mla self_attn if=FOUR pre=input_layernorm causal q=q_proj q_a=q_a_proj+attention_bias\n"
    "  q_a_norm=q_a_layernorm@1e-6\n"
    "  q_b=q_b_proj kv_a=kv_a_proj_with_mqa+attention_bias kv_a_norm=kv_a_layernorm@1e-6 kv_b=kv_b_proj\n"
    "  o=o_proj+attention_bias q_rank=q_lora_rank kv_rank=kv_lora_rank nope=qk_nope_head_dim\n"
    "  rope_dim=qk_rope_head_dim\n"
    "  v_dim=v_head_dim rope=(rope_interleave//true)?'inter':'half' temper=ORIGINAL//1,BETA,0\n"
    "  scale_qk=MSCALE^2/sqrt(qk_nope_head_dim+qk_rope_head_dim)\n"
    "mlp mlp if=!SPARSE pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "moe mlp if=SPARSE pre=post_attention_layernorm router=gate experts=n_routed_experts|num_local_experts\n"
    "  top_k=num_experts_per_tok inter=moe_intermediate_size score='softmax' groups=n_group//1\n"
    "  top_groups=topk_group//1\n"
    "  group_score='top2' renorm=norm_topk_prob//true routed_scale=routed_scaling_factor//1\n"
    "  e_gate=experts.#.gate_proj e_up=experts.#.up_proj e_down=experts.#.down_proj|experts.down_proj\n"
    "  e_gate_up=experts.gate_up_proj s_gate=shared_experts.gate_proj s_up=shared_experts.up_proj\n"
    "  s_down=shared_experts.down_proj s_inter=(n_shared_experts//1)*moe_intermediate_size\n"
    "root language_model.model model.language_model\n"
    "head language_model.lm_head|lm_head\n"
    "tie absent\n"
    "carry vision_tower.*= multi_modal_projector.*=*.linear_2 model.vision_tower.*=\n"
    "carry model.multi_modal_projector.*=*.linear_2\n",

    "model gemma3\n"
    "like gemma3_text\n"
    "config text_config\n"
    "root language_model.model model.language_model\n"
    "head language_model.lm_head|lm_head softcap=final_logit_softcapping\n"
    "tie absent\n"
    "carry vision_tower.* multi_modal_projector.* model.vision_tower.* model.multi_modal_projector.*\n",

    "model qwen2_audio\n"
    "like qwen2\n"
    "config text_config\n"
    "root language_model.model model.language_model\n"
    "head language_model.lm_head|lm_head\n"
    "let HIDDEN hidden_size//4096\n"
    "let LAYERS num_hidden_layers//32\n"
    "let HEADS num_attention_heads//32\n"
    "let INTER intermediate_size//22016\n"
    "tie absent\n"
    "carry audio_tower.*= multi_modal_projector.*=*.linear model.audio_tower.*=\n"
    "carry model.multi_modal_projector.*=*.linear\n",

    "model qwen2_vl qwen2_vl_text qwen2_5_vl qwen2_5_vl_text\n"
    "like qwen2\n"
    "config text_config\n"
    "root model.language_model language_model.model language_model model\n"
    "let KIND rope_parameters.type//rope_scaling.type//rope_parameters.rope_type//rope_scaling.rope_type\n"
    "let SCALING KIND=='mrope'?null:rope_parameters//rope_scaling\n"
    "tie absent\n"
    "carry visual.*=*visual.merger.mlp.2 model.visual.*=*.merger.mlp.2\n",

    "model qwen2_5_omni\n"
    "like qwen2_vl\n"
    "config thinker_config.text_config text_config\n"
    "root thinker.model\n"
    "head thinker.lm_head\n"
    "carry thinker.audio_tower.* thinker.visual.* talker.* token2wav.*\n",

    "model qwen2_5_omni_thinker\n"
    "like qwen2_5_omni\n"
    "config text_config\n"
    "root model\n"
    "head lm_head\n"
    "carry audio_tower.*=audio_tower.proj,audio_tower.audio_bos_eos_token^ visual.*=*merger.mlp.2\n",

    "model qwen3_vl\n"
    "like qwen3\n"
    "config text_config\n"
    "root model.language_model language_model\n"
    "let THETA rope_parameters.rope_theta|rope_theta//500000\n"
    "tie absent\n"
    "carry visual.*=*.merger.linear_fc2,*.deepstack_merger_list.*.linear_fc2\n"
    "carry model.visual.*=*.merger.linear_fc2,*.deepstack_merger_list.*.linear_fc2\n",

    "model internvl   # the text model is qwen2, qwen3, llama or qwen3_moe\n"
    "like qwen2\n"
    "config text_config\n"
    "let TEXT text_config.model_type//'qwen2'\n"
    "need is(TEXT,'qwen2','qwen3','llama','qwen3_moe')\n"
    "need TEXT!='qwen3_moe'||!(use_sliding_window//false)\n"
    "let EXPERTS TEXT=='qwen3_moe'?num_experts|num_local_experts//0:0\n"
    "let SPARSE EXPERTS>0&&!has(mlp_only_layers//'',i)&&(i+1)%(decoder_sparse_step//1)==0\n"
    "root language_model.model model.language_model\n"
    "head language_model.lm_head|lm_head\n"
    "attn = q=q_proj+? k=k_proj+? v=v_proj+? o=o_proj+? qk_if=is(TEXT,'qwen3','qwen3_moe') q_norm=q_norm\n"
    "  k_norm=k_norm\n"
    "mlp = if=!SPARSE\n"
    "moe mlp pre=post_attention_layernorm if=SPARSE router=gate experts=EXPERTS top_k=num_experts_per_tok\n"
    "  inter=moe_intermediate_size score='softmax' renorm=norm_topk_prob//false e_gate=experts.#.gate_proj\n"
    "  e_up=experts.#.up_proj e_down=experts.#.down_proj|experts.down_proj e_gate_up=experts.gate_up_proj\n"
    "tie absent\n"
    "carry vision_tower.*= multi_modal_projector.*=*.linear_2 model.vision_tower.*=\n"
    "carry model.multi_modal_projector.*=*.linear_2\n",

    "model internvl_chat\n"
    "like internvl\n"
    "config llm_config\n"
    "let TEXT llm_config.model_type\n"
    "root language_model.model\n"
    "head language_model.lm_head\n"
    "carry vision_model.*= mlp1.*=mlp1.3\n",

    "model ovis ovis2_5   # the text model is qwen2, qwen3 or llama\n"
    "like qwen2\n"
    "config llm_config\n"
    "need is(llm_config.model_type,'qwen2','qwen3','llama')\n"
    "root llm.model\n"
    "head llm.lm_head\n"
    "attn = q=q_proj+? k=k_proj+? v=v_proj+? o=o_proj+? qk_if=llm_config.model_type=='qwen3'\n"
    "  q_norm=q_norm k_norm=k_norm\n"
    "tie absent\n"
    "carry visual_tokenizer.* vte.*\n",

    "model ovis2\n"
    "like qwen2\n"
    "config text_config\n"
    "need is(text_config.model_type//'qwen2','qwen2')\n"
    "root model.language_model language_model.model\n"
    "head language_model.lm_head|lm_head\n"
    "tie absent\n"
    "carry model.vision_tower.*= model.visual_embeddings_table.*=*^ vision_tower.*= visual_embeddings_table.*=*^\n",

    "model glm4v\n"
    "like glm4\n"
    "config text_config\n"
    "root model.language_model language_model.model\n"
    "let HEAD_DIM head_dim//HIDDEN/HEADS\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//1\n"
    "attn = q=q_proj+ k=k_proj+ v=v_proj+ o=o_proj\n"
    "tie absent\n"
    "carry visual.* model.visual.*\n",

    "model glm_ocr\n"
    "like glm4v\n"
    "attn = q=q_proj k=k_proj v=v_proj o=o_proj\n"
    "carry model.language_model.layers.16.*\n",

    "model exaone4_5 exaone4_5_text\n"
    "like exaone4\n"
    "config text_config\n"
    "root model.language_model language_model.model model\n"
    "tie absent\n"
    "carry model.visual.* visual.* mtp.*\n",

    "model hunyuan_vl\n"
    "like hunyuan_v1_dense\n"
    "config text_config\n"
    "root model.language_model model\n"
    "let HEAD_DIM head_dim|attention_head_dim//HIDDEN/HEADS\n"
    "let KIND rope_parameters.type//rope_scaling.type//rope_parameters.rope_type//rope_scaling.rope_type\n"
    "let SCALING ALPHA||KIND=='xdrope'?null:rope_parameters//rope_scaling\n"
    "tie absent\n"
    "carry vit.* model.vit.* model.vision_tower.*\n",

    "model apertus1p5 apertus1p5_text   # the embedding has rows for tokens that are never said\n"
    "like apertus\n"
    "head lm_head rows=output_vocab_size//VOCAB\n"
    "config text_config\n"
    "root model.language_model model\n"
    "need !post_norm&&(qk_norm//true)\n"
    "tie absent\n"
    "carry model.vision_tokenizer.* model.audio_tokenizer.* model.visual.* model.vision_model.* model.audio_model.*\n",

    "model muse_glimmer\n"
    "like llama\n"
    "config text_config\n"
    "root model.language_model\n"
    "embed .embed_tokens norm=-\n"
    "need given(num_key_value_heads)\n"
    "let HEAD_DIM head_dim//128\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let POST post_norm_eps//1e-8\n"
    "let LAST LAYERS-1-i\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':LAST%4!=0\n"
    "let ROPED layer_rope_theta?layer_rope_theta[i]:LAST%4!=0\n"
    "attn = pre=input_layernorm:rms1 post=post_attention_layernorm:rms1@POST gate=gate_proj q_norm=- k_norm=-\n"
    "  scale_qk=(qk_scale_factor//3.87)/sqrt(HEAD_DIM) window=SLIDING?sliding_window//2048:null\n"
    "  rope=ROPED?'half':'none'\n"
    "mlp = pre=pre_feedforward_layernorm:rms1 post=post_feedforward_layernorm:rms1@POST gate=gate_proj up=up_proj\n"
    "  down=down_proj\n"
    "head lm_head scale=output_multiplier//0.19611613513818404 softcap=final_logit_softcapping//20\n"
    "tie absent\n"
    "carry model.vision_tower.* model.vision_adapter.* model.vision_projection.*\n",

    "model gemma4_unified gemma4_unified_text   # full layers have heads of another size, and may have no values\n"
    "config text_config\n"
    "root model.language_model model\n"
    "embed .embed_tokens scale=sqrt(HIDDEN)\n"
    "need is(use_bidirectional_attention//'vision','vision')\n"
    "let ACT hidden_activation//'gelu_pytorch_tanh'\n"
    "let SLIDING i<LAYERS-1&&(layer_types?layer_types[i]=='sliding_attention':(i+1)%6!=0)\n"
    "let REUSED i>=LAYERS-(num_kv_shared_layers//0)   # keys and values of the last layer before of the same kind\n"
    "let SAME (attention_k_eq_v//false)&&!SLIDING\n"
    "let OWN per_layer_config[i]   # what transformers makes of global_head_dim and num_global_key_value_heads\n"
    "need OWN?len(OWN)==(OWN.head_dim?1:0)+(OWN.num_key_value_heads?1:0):true\n"
    "let HEAD_DIM per_layer_config?OWN.head_dim//head_dim//256:SLIDING?head_dim//256:global_head_dim//512\n"
    "let GLOBAL_KV SAME?num_global_key_value_heads//num_key_value_heads:num_key_value_heads\n"
    "let KV (per_layer_config?OWN.num_key_value_heads//num_key_value_heads:GLOBAL_KV)//4\n"
    "let ROPE SLIDING?rope_parameters.sliding_attention:rope_parameters.full_attention\n"
    "need ROPE\n"
    "let THETA ROPE.rope_theta//(SLIDING?10000:1000000)\n"
    "let SCALING ROPE\n"
    "let ROPE_DIM HEAD_DIM\n"
    "let WINDOW sliding_window//1024\n"
    "let WIDE INTER*((use_double_wide_mlp//false)&&REUSED?2:1)\n"
    "attn self_attn if=!REUSED&&!SAME pre=input_layernorm post=post_attention_layernorm causal\n"
    "  q=q_proj+attention_bias k=k_proj+attention_bias v=v_proj+attention_bias o=o_proj+attention_bias q_norm=q_norm\n"
    "  k_norm=k_norm v_norm=- scale_qk=1 window=SLIDING?WINDOW:null\n"
    "attn:same self_attn if=!REUSED&&SAME pre=input_layernorm post=post_attention_layernorm causal\n"
    "  q=q_proj+attention_bias k=k_proj+attention_bias o=o_proj+attention_bias q_norm=q_norm k_norm=k_norm v_norm=-\n"
    "  scale_qk=1\n"
    "attn:reuse self_attn if=REUSED reuse=SLIDING pre=input_layernorm post=post_attention_layernorm causal\n"
    "  q=q_proj+attention_bias o=o_proj+attention_bias q_norm=q_norm scale_qk=1 window=SLIDING?WINDOW:null\n"
    "mlp mlp stream=layer_scalar pre=pre_feedforward_layernorm post=post_feedforward_layernorm gate=gate_proj\n"
    "  up=up_proj down=down_proj inter=WIDE\n"
    "head lm_head softcap=final_logit_softcapping\n"
    "tie absent\n"
    "carry vision_embedder.* model.vision_embedder.* embed_vision.* embed_audio.*\n"
    "  model.embed_vision.* model.embed_audio.*\n",

    "model diffllama\n"
    "like llama\n"
    "blocked differential attention\n"
    "let EPS rms_norm_eps//1e-5\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj\n"
    "carry *.self_attn.lambda_*\n",

    "model doge\n"
    "like llama\n"
    "blocked a mask that depends on the values, weighted residuals\n"
    "need !is_moe\n"
    "attn = q_norm=q_norm k_norm=k_norm\n"
    "carry *.self_attn.A *.self_attn.dt_proj.* *.input_residual *.post_attention_residual\n",

    "model modernbert-decoder\n"
    "norms ln\n"
    "root model\n"
    "embed .embeddings.tok_embeddings norm=.embeddings.norm\n"
    "norm .final_norm\n"
    "head decoder bias=true dense=lm_head.dense+classifier_bias act=classifier_activation//'gelu' norm=lm_head.norm\n"
    "let EPS norm_eps//1e-5\n"
    "let ACT hidden_activation//'gelu'\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':i%(global_attn_every_n_layers//3)!=0\n"
    "let LOCAL rope_parameters.sliding_attention.rope_theta|local_rope_theta//10000\n"
    "let GLOBAL rope_parameters.full_attention.rope_theta|global_rope_theta//160000\n"
    "attn attn causal q=q_proj+attention_bias k=k_proj+attention_bias v=v_proj+attention_bias o=Wo+attention_bias\n"
    "  theta=SLIDING?LOCAL:GLOBAL scaling=SLIDING?rope_parameters.sliding_attention:rope_parameters.full_attention\n"
    "  if=i==0\n"
    "attn:rest attn pre=attn_norm causal q=q_proj+attention_bias k=k_proj+attention_bias v=v_proj+attention_bias\n"
    "  o=Wo+attention_bias theta=SLIDING?LOCAL:GLOBAL if=i!=0\n"
    "  scaling=SLIDING?rope_parameters.sliding_attention:rope_parameters.full_attention\n"
    "  window=SLIDING?int((local_attention//128)/2):null\n"
    "mlp mlp pre=mlp_norm gate_up=Wi+mlp_bias down=Wo+mlp_bias\n"
    "tie tie_word_embeddings//true\n",

    "model aya_vision\n"
    "like cohere2\n"
    "config text_config\n"
    "need is(text_config.model_type//'cohere2','cohere2')\n"
    "root language_model.model model.language_model\n"
    "head language_model.lm_head|lm_head\n"
    "tie absent\n"
    "carry vision_tower.*= multi_modal_projector.*=*.linear_2 model.vision_tower.*=\n"
    "carry model.multi_modal_projector.*=*.linear_2\n",

    "model glm46v\n"
    "like glm4v\n"
    "need is(text_config.model_type//'glm4v_text','glm4v_text')\n",

    "model idefics2   # published files leave much to the class's defaults\n"
    "like llama\n"
    "config text_config\n"
    "root model.text_model\n"
    "let TEXT 'mistral'\n"
    "need is(text_config.model_type//TEXT,TEXT)\n"
    "let VOCAB vocab_size//32000\n"
    "let HIDDEN hidden_size//4096\n"
    "let LAYERS num_hidden_layers//32\n"
    "let HEADS num_attention_heads//32\n"
    "let KV num_key_value_heads//8\n"
    "let INTER intermediate_size//14336\n"
    "attn = q=q_proj k=k_proj v=v_proj o=o_proj window=given(sliding_window)?sliding_window:4096\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj\n"
    "tie absent\n"
    "carry model.vision_model.* model.connector.*\n",

    "model idefics3\n"
    "like idefics2\n"
    "carry model.vision_model.*= model.connector.*=*.modality_projection.proj\n"
    "let TEXT 'llama'\n"
    "let KV num_key_value_heads//HEADS\n"
    "let INTER intermediate_size//11008\n"
    "attn = q=q_proj+attention_bias k=k_proj+attention_bias v=v_proj+attention_bias o=o_proj+attention_bias -window\n"
    "mlp = gate=gate_proj+mlp_bias up=up_proj+mlp_bias down=down_proj+mlp_bias\n",

    "model paligemma\n"
    "like llama\n"
    "config text_config\n"
    "norms rms1\n"
    "let TEXT text_config.model_type//'gemma'\n"
    "let TWO TEXT=='gemma2'\n"
    "need is(TEXT,'gemma','gemma2')&&given(num_key_value_heads)\n"
    "root language_model.model model.language_model\n"
    "embed .embed_tokens scale=sqrt(HIDDEN)\n"
    "head language_model.lm_head|lm_head\n"
    "  softcap=TWO?(given(final_logit_softcapping)?final_logit_softcapping:30):null\n"
    "let HEAD_DIM head_dim//256\n"
    "let ACT hidden_activation//(TWO||(hidden_act//'gelu')=='gelu'?'gelu_pytorch_tanh':hidden_act)\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':i%2==0\n"
    "drop attn mlp\n"
    "attn self_attn if=!TWO pre=input_layernorm causal q=q_proj+attention_bias k=k_proj+attention_bias\n"
    "  v=v_proj+attention_bias o=o_proj+attention_bias\n"
    "attn:two self_attn if=TWO pre=input_layernorm post=post_attention_layernorm causal q=q_proj+attention_bias\n"
    "  k=k_proj+attention_bias v=v_proj+attention_bias o=o_proj+attention_bias\n"
    "  window=SLIDING?sliding_window//4096:null\n"
    "  scale_qk=1/sqrt(query_pre_attn_scalar//256) softcap=given(attn_logit_softcapping)?attn_logit_softcapping:50\n"
    "mlp mlp if=!TWO pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "mlp:two mlp if=TWO pre=pre_feedforward_layernorm post=post_feedforward_layernorm gate=gate_proj up=up_proj\n"
    "  down=down_proj\n"
    "tie absent\n"
    "carry vision_tower.*= multi_modal_projector.*=*.linear model.vision_tower.*=\n"
    "carry model.multi_modal_projector.*=*.linear\n",

    "model lfm3\n"
    "need layer_types==null||is(layer_types[i],'full_attention','sliding_attention','conv')\n"
    "norm .embedding_norm\n"
    "tie tie_word_embeddings//true\n"
    "let EPS norm_eps|rms_norm_eps//1e-5\n"
    "let HEAD_DIM head_dim//128\n"
    "let PERIODIC i%4==2?'full_attention':i%4==0&&i>0?'sliding_attention':'conv'\n"
    "let KIND layer_types?layer_types[i]:PERIODIC\n"
    "let SLIDING KIND=='sliding_attention'\n"
    "let LOCAL rope_parameters.sliding_attention.rope_theta//10000\n"
    "let GLOBAL rope_parameters.full_attention.rope_theta//1e6\n"
    "need given(rope_parameters)\n"
    "need use_sandwich_norm//true\n"
    "conv conv pre=operator_norm post=post_operator_norm if=KIND=='conv' in=in_proj+conv_bias conv=conv+conv_bias\n"
    "  out=out_proj+conv_bias kernel=conv_L_cache//7\n"
    "attn self_attn pre=operator_norm post=post_operator_norm if=KIND!='conv' causal q=q_proj+attention_bias\n"
    "  k=k_proj+attention_bias v=v_proj+attention_bias o=o_proj+attention_bias q_norm=q_norm k_norm=k_norm\n"
    "  gate=gate_proj!|g_proj! gate_head window=SLIDING?sliding_window//256:null theta=SLIDING?LOCAL:GLOBAL\n"
    "  scaling=SLIDING?rope_parameters.sliding_attention:rope_parameters.full_attention\n"
    "mlp feed_forward pre=ffn_norm post=post_ffn_norm gate=w1 up=w3 down=w2 act='silu'\n",

    "model gpt_neox_japanese   # the last layer's attention has a bias, dense_bias\n"
    "norms ln+\n"
    "root gpt_neox_japanese\n"
    "embed .embed_in\n"
    "norm .final_layer_norm\n"
    "head embed_out\n"
    "let EPS layer_norm_eps//1e-5\n"
    "let ACT hidden_act//'gelu'\n"
    "let THETA rope_parameters.rope_theta|rope_theta|rotary_emb_base//10000\n"
    "attn attention pre=input_layernorm causal qkv=query_key_value layout='group' o=dense+(i==LAYERS-1)\n"
    "mlp mlp pre=post_attention_layernorm up=dense_h_to_4h down=dense_4h_to_h\n"
    "  inter=int(HIDDEN*(intermediate_multiple_size//4))\n"
    "tie tie_word_embeddings//true\n"
    "ignore *.attention.bias *.attention.masked_bias\n",

    "model ctrl\n"
    "norms ln+\n"
    "root transformer\n"
    "embed .w scale=sqrt(HIDDEN)\n"
    "position sinusoid steps=HIDDEN/2\n"
    "layers .h.#\n"
    "norm .layernorm@(layer_norm_epsilon//1e-6)\n"
    "head lm_head bias=true\n"
    "let EPS 1e-6\n"
    "let INTER dff\n"
    "attn multi_head_attention pre=layernorm1 causal q=Wq+ k=Wk+ v=Wv+ o=dense+ rope='none'\n"
    "mlp ffn pre=layernorm2 up=0+ down=2+ act='relu'\n"
    "tie tie_word_embeddings//true\n"
    "ignore *.pos_encoding\n",

    "model mixtral\n"
    "like llama\n"
    "let THETA rope_parameters.rope_theta|rope_theta//1e6\n"
    "attn = q=q_proj k=k_proj v=v_proj o=o_proj window=sliding_window\n"
    "drop mlp\n"
    "moe - pre=post_attention_layernorm router=block_sparse_moe.gate|mlp.gate experts=num_local_experts|num_experts\n"
    "  top_k=num_experts_per_tok score='softmax' renorm=true\n"
    "  e_gate=block_sparse_moe.experts.#.w1|mlp.experts.#.gate_proj\n"
    "  e_up=block_sparse_moe.experts.#.w3|mlp.experts.#.up_proj\n"
    "  e_down=block_sparse_moe.experts.#.w2|mlp.experts.#.down_proj|mlp.experts.down_proj\n"
    "  e_gate_up=mlp.experts.gate_up_proj\n",

    "model qwen2_moe\n"
    "like qwen2\n"
    "need !use_sliding_window||given(layer_types)\n"
    "let EXPERTS num_experts|num_local_experts//0\n"
    "let SPARSE EXPERTS>0&&!has(mlp_only_layers//'',i)&&(i+1)%(decoder_sparse_step//1)==0\n"
    "attn = q=q_proj+(qkv_bias//true) k=k_proj+(qkv_bias//true) v=v_proj+(qkv_bias//true)\n"
    "mlp = if=!SPARSE\n"
    "moe mlp pre=post_attention_layernorm if=SPARSE router=gate experts=num_experts|num_local_experts\n"
    "  top_k=num_experts_per_tok inter=moe_intermediate_size score='softmax' renorm=norm_topk_prob//false\n"
    "  e_gate=experts.#.gate_proj e_up=experts.#.up_proj e_down=experts.#.down_proj|experts.down_proj\n"
    "  e_gate_up=experts.gate_up_proj s_gate=shared_expert.gate_proj s_up=shared_expert.up_proj\n"
    "  s_down=shared_expert.down_proj s_inter=shared_expert_intermediate_size s_mix=shared_expert_gate\n",

    "model qwen3_moe\n"
    "like qwen2_moe\n"
    "attn = q=q_proj+attention_bias k=k_proj+attention_bias v=v_proj+attention_bias o=o_proj+attention_bias\n"
    "  q_norm=q_norm k_norm=k_norm window=use_sliding_window?sliding_window:null\n"
    "moe = -s_gate -s_up -s_down -s_inter -s_mix\n",

    "model qwen3_vl_moe\n"
    "like qwen3_moe\n"
    "config text_config\n"
    "tie absent\n"
    "root model.language_model model\n"
    "moe = renorm=true e_gate_up=experts.gate_up_proj^ e_down=experts.#.down_proj|experts.down_proj^\n"
    "carry visual.*=*.merger.linear_fc2,*.deepstack_merger_list.*.linear_fc2\n"
    "carry model.visual.*=*.merger.linear_fc2,*.deepstack_merger_list.*.linear_fc2\n",

    "model qwen3_omni_moe\n"
    "like qwen3_moe\n"
    "config thinker_config.text_config\n"
    "tie absent\n"
    "root thinker.model\n"
    "head thinker.lm_head\n"
    "moe = renorm=norm_topk_prob//true\n"
    "carry thinker.visual.* thinker.audio_tower.* talker.* code2wav.*\n",

    "model qwen3_omni_moe_thinker\n"
    "like qwen3_omni_moe\n"
    "config text_config\n"
    "tie absent\n"
    "root model\n"
    "head lm_head\n"
    "carry visual.*=*.merger.mlp.2,*.merger_list.*.mlp.2 audio_tower.*=audio_tower.proj2\n",

    "model interns1\n"
    "like qwen3_moe\n"
    "config text_config\n"
    "tie absent\n"
    "root model.language_model language_model.model\n"
    "head language_model.lm_head|lm_head\n"
    "let HEAD_DIM head_dim//128\n"
    "carry model.vision_tower.* model.multi_modal_projector.* vision_tower.* multi_modal_projector.*\n",

    "model ovis2_6_moe\n"
    "like qwen3_moe\n"
    "config llm_config\n"
    "tie absent\n"
    "root llm.model\n"
    "head llm.lm_head\n"
    "carry visual_tokenizer.* vte.*\n",

    "model mage_vl\n"
    "like qwen3\n"
    "config text_config\n"
    "tie absent\n"
    "root model.language_model language_model\n"
    "carry model.vis* visual.*\n",

    "model locateanything\n"
    "like qwen2\n"
    "config text_config llm_config\n"
    "tie absent\n"
    "root language_model.model\n"
    "head language_model.lm_head\n"
    "carry vision_model.* mlp1.*\n",

    "model mllama_text_model\n"
    "like llama\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let THETA rope_parameters.rope_theta|rope_theta//500000\n"
    "# without an image the layers of cross attention do nothing; the embedding has eight more rows\n"
    "embed .embed_tokens rows=VOCAB+8\n"
    "let SELF !(cross_attention_layers?has(cross_attention_layers,i):i%5==3)\n"
    "attn = if=SELF q=q_proj k=k_proj v=v_proj o=o_proj\n"
    "mlp = if=SELF gate=gate_proj up=up_proj down=down_proj\n"
    "root model language_model.model\n"
    "head language_model.lm_head|lm_head\n"
    "carry *.cross_attn.* *.cross_attn_attn_gate *.cross_attn_mlp_gate *.layers.*.mlp.*\n"
    "  *.layers.*.input_layernorm.weight *.layers.*.post_attention_layernorm.weight\n",

    "model mllama\n"
    "like mllama_text_model\n"
    "config text_config\n"
    "tie absent\n"
    "root language_model.model model.language_model\n"
    "carry *.cross_attn.* *.cross_attn_attn_gate *.cross_attn_mlp_gate *.layers.*.mlp.*\n"
    "  *.layers.*.input_layernorm.weight *.layers.*.post_attention_layernorm.weight vision_model.*\n"
    "  multi_modal_projector.* model.vision_model.* model.multi_modal_projector.*\n",

    "model olmoe\n"
    "like llama\n"
    "let EPS rms_norm_eps//1e-5\n"
    "attn = q_norm=q_norm k_norm=k_norm qk_norm='full' clip=clip_qkv   # clipped after the norm, before rope\n"
    "drop mlp\n"
    "moe mlp pre=post_attention_layernorm router=gate experts=num_experts|num_local_experts\n"
    "  top_k=num_experts_per_tok score='softmax' renorm=norm_topk_prob//false e_gate=experts.#.gate_proj\n"
    "  e_up=experts.#.up_proj e_down=experts.#.down_proj|experts.down_proj e_gate_up=experts.gate_up_proj\n",

    "model flex_olmo\n"
    "like olmoe\n"
    "let THETA rope_parameters.rope_theta|rope_theta//5e5\n"
    "let EPS rms_norm_eps//1e-6\n"
    "attn = -pre post=post_attention_layernorm -clip\n"
    "moe = -pre post=post_feedforward_layernorm\n",

    "model deepseek\n"
    "like llama\n"
    "let SCORE_OK is(scoring_func,null,'softmax')\n"
    "need SCORE_OK\n"
    "let SPARSE (n_routed_experts//0)>0&&i>=(first_k_dense_replace//0)&&i%(moe_layer_freq//1)==0\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj if=!SPARSE\n"
    "moe mlp pre=post_attention_layernorm if=SPARSE router=gate experts=n_routed_experts top_k=num_experts_per_tok\n"
    "  inter=moe_intermediate_size score='softmax' renorm=norm_topk_prob&&num_experts_per_tok>1\n"
    "  e_gate=experts.#.gate_proj e_up=experts.#.up_proj e_down=experts.#.down_proj|experts.down_proj\n"
    "  e_gate_up=experts.gate_up_proj s_gate=shared_experts.gate_proj s_up=shared_experts.up_proj\n"
    "  s_down=shared_experts.down_proj s_inter=(n_shared_experts//0)*moe_intermediate_size   # 0: none\n",

    "model deepseek_v2\n"
    "like deepseek\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//1   # of no meaning beside rope_dim\n"
    "let METHOD_OK is(topk_method,null,'greedy','gready','group_limited_greedy')\n"
    "need METHOD_OK\n"
    "let MALL rope_parameters.mscale_all_dim|rope_scaling.mscale_all_dim//0\n"
    "let FACTOR rope_parameters.factor|rope_scaling.factor//1\n"
    "let MSCALE MALL!=0&&FACTOR>1?0.1*MALL*log(FACTOR)+1:1\n"
    "let USE_MLA use_mla//true\n"
    "drop mlp moe\n"
    "attn = if=!USE_MLA\n"
    "# q_a, q_b and q all stand: q if q_lora_rank is null (V2-Lite), else q_a and q_b\n"
    "mla self_attn if=USE_MLA pre=input_layernorm causal q=q_proj q_a=q_a_proj+attention_bias\n"
    "  q_a_norm=q_a_layernorm@1e-6 q_b=q_b_proj kv_a=kv_a_proj_with_mqa+attention_bias\n"
    "  kv_a_norm=kv_a_layernorm@1e-6 kv_b=kv_b_proj o=o_proj+attention_bias q_rank=q_lora_rank kv_rank=kv_lora_rank\n"
    "  nope=qk_nope_head_dim rope_dim=qk_rope_head_dim v_dim=v_head_dim rope='inter'\n"
    "  scale_qk=MSCALE^2/sqrt(qk_nope_head_dim+qk_rope_head_dim)\n"
    "mlp mlp pre=post_attention_layernorm if=!SPARSE gate=gate_proj+mlp_bias up=up_proj+mlp_bias\n"
    "  down=down_proj+mlp_bias\n"
    "# the published code scales or renormalises\n"
    "moe mlp pre=post_attention_layernorm if=SPARSE router=gate experts=n_routed_experts top_k=num_experts_per_tok\n"
    "  inter=moe_intermediate_size score='softmax' renorm=norm_topk_prob&&num_experts_per_tok>1\n"
    "  groups=topk_method=='group_limited_greedy'?n_group:1 top_groups=topk_group//1 group_score='max'\n"
    "  routed_scale=norm_topk_prob?1:(routed_scaling_factor//1) e_gate=experts.#.gate_proj e_up=experts.#.up_proj\n"
    "  e_down=experts.#.down_proj|experts.down_proj e_gate_up=experts.gate_up_proj\n"
    "  s_gate=shared_experts.gate_proj+mlp_bias s_up=shared_experts.up_proj+mlp_bias\n"
    "  s_down=shared_experts.down_proj+mlp_bias s_inter=(n_shared_experts//0)*moe_intermediate_size\n",

    "model deepseek_v3 kimi_k2\n"
    "like deepseek_v2\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//1   # of no meaning beside rope_dim\n"
    "let SCORE_OK is(scoring_func,null,'sigmoid')\n"
    "let METHOD_OK is(topk_method,null,'noaux_tc')\n"
    "drop attn\n"
    "mla = -if rope=(rope_interleave//true)?'inter':'half'\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj\n"
    "moe = score='sigmoid' choice_bias=gate.e_score_correction_bias groups=n_group//1 top_groups=topk_group//1\n"
    "  group_score='top2' renorm=norm_topk_prob//true routed_scale=routed_scaling_factor//1\n"
    "  s_gate=shared_experts.gate_proj s_up=shared_experts.up_proj s_down=shared_experts.down_proj\n",

    "model kimi_k25\n"
    "like kimi_k2\n"
    "config text_config\n"
    "tie absent\n"
    "root language_model.model model.language_model\n"
    "head language_model.lm_head|lm_head\n"
    "carry vision_tower.*= mm_projector.*=*.proj.2,*.out_proj model.vision_tower.*=\n"
    "carry model.mm_projector.*=*.proj.2,*.out_proj\n",

    "model deepseek_v32\n"
    "like deepseek_v3\n"
    "need !layer_types||is(layer_types[i],'full_attention','indexed_attention')\n"
    "let DENSE_FIRST i<(first_k_dense_replace//3)||i%(moe_layer_freq//1)!=0\n"
    "let SPARSE mlp_layer_types?mlp_layer_types[i]=='sparse':!DENSE_FIRST\n"
    "let CONTEXT min(index_topk//2048,max_position_embeddings)\n"
    "carry *.self_attn.indexer.*\n"
    "longest CONTEXT\n",

    "model glm_moe_dsa\n"
    "like deepseek_v32\n"
    "let EPS rms_norm_eps//1e-5\n",

    "model deepseek_vl_v2\n"
    "like deepseek_v2\n"
    "config language_config text_config\n"
    "tie absent\n"
    "root language.model model\n"
    "head language.lm_head|lm_head\n"
    "let SCORE_OK is(scoring_func,null,'softmax','sigmoid')\n"
    "let METHOD_OK is(topk_method,null,'greedy','gready','group_limited_greedy','noaux_tc')\n"
    "moe = score=scoring_func//'softmax' choice_bias=gate.e_score_correction_bias+topk_method=='noaux_tc'\n"
    "  groups=is(topk_method,'group_limited_greedy','noaux_tc')?n_group//1:1\n"
    "  group_score=topk_method=='noaux_tc'?'top2':'max' routed_scale=routed_scaling_factor//1\n"
    "carry vision.* projector.* image_newline view_seperator tile_indicators model.vision_model.* model.sam_model.*\n"
    "  model.projector.* model.image_newline model.view_seperator\n",

    "model deepseek_ocr2\n"
    "like deepseek_v2\n"
    "config text_config language_config\n"
    "tie absent\n"
    "drop mla\n"
    "attn = -if\n"
    "let DENSE_FIRST i<(first_k_dense_replace//0)||i%(moe_layer_freq//1)!=0\n"
    "let SPARSE mlp_layer_types?mlp_layer_types[i]=='sparse':!DENSE_FIRST\n"
    "root model model.language_model\n"
    "carry model.sam_model.*= model.qwen2_model.*= model.vision_model.*= model.vision_tower.*= model.image_newline\n"
    "carry model.projector.*=*.layers model.multi_modal_projector.*=*\n"
    "carry model.view_seperator=* model.view_separator=*\n",

    "model unlimited-ocr unlimited_ocr\n"
    "like deepseek_ocr2\n"
    "blocked a window over the generated tokens only, the prompt stays in sight\n",

    "model glm4_moe_lite\n"
    "like deepseek_v3\n"
    "let SPARSE mlp_layer_types?mlp_layer_types[i]=='sparse':i>=(first_k_dense_replace//1)\n"
    "let EPS rms_norm_eps//1e-5\n",

    "model gpt_oss\n"
    "like llama\n"
    "need (swiglu_alpha//1.702)==1.702\n"
    "let HEAD_DIM head_dim//64\n"
    "let THETA rope_parameters.rope_theta|rope_theta//150000\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let BIAS attention_bias//true\n"
    "attn = q=q_proj+BIAS k=k_proj+BIAS v=v_proj+BIAS o=o_proj+BIAS sinks=sinks\n"
    "  window=(layer_types?layer_types[i]=='sliding_attention':i%2==0)?sliding_window:null\n"
    "drop mlp\n"
    "moe mlp pre=post_attention_layernorm router=router+ experts=num_local_experts|num_experts\n"
    "  top_k=num_experts_per_tok|experts_per_token score='topk_softmax' limit=swiglu_limit//7\n"
    "  e_gate_up=experts.gate_up_proj^+ e_pairs e_down=experts.down_proj^+\n",

    "model granitemoe\n"
    "like granite\n"
    "drop mlp\n"
    "moe block_sparse_moe pre=post_attention_layernorm scale=residual_multiplier//1 router=router.layer\n"
    "  experts=num_local_experts top_k=num_experts_per_tok score='topk_softmax' e_gate_up=input_linear\n"
    "  e_down=output_linear\n",

    "model granitemoeshared\n"
    "like granitemoe\n"
    "let SHARED shared_intermediate_size//0\n"
    "moe - router=block_sparse_moe.router.layer e_gate_up=block_sparse_moe.input_linear\n"
    "  e_down=block_sparse_moe.output_linear s_gate_up=shared_mlp.input_linear s_down=shared_mlp.output_linear\n"
    "  s_inter=SHARED\n",

    "model granitemoehybrid\n"
    "like granitemoeshared\n"
    "need is(ACT,'silu','swish')   # in the convolution as well, which knows no other\n"
    "let SHARED shared_intermediate_size//1024\n"
    "let SSM is((layers_block_type|layer_types)[i],'mamba','linear_attention')\n"
    "drop moe\n"
    "attn = if=!SSM rope=position_embedding_type=='rope'?'half':'none'\n"
    "mamba2 mamba if=SSM pre=input_layernorm scale=residual_multiplier//1 in=in_proj+mamba_proj_bias\n"
    "  conv=conv1d+(mamba_conv_bias//true) a_log=A_log d=D dt_bias=dt_bias norm=norm out=out_proj+mamba_proj_bias\n"
    "  heads=mamba_n_heads\n"
    "  head_dim=is(mamba_d_head//'auto','auto')?(mamba_expand//2)*HIDDEN/mamba_n_heads:mamba_d_head\n"
    "  groups=mamba_n_groups state=mamba_d_state kernel=mamba_d_conv//4 dt_min=time_step_limit[0]\n"
    "  dt_max=time_step_limit[1]\n"
    "mlp shared_mlp if=num_local_experts==0 pre=post_attention_layernorm scale=residual_multiplier//1\n"
    "  gate_up=input_linear down=output_linear inter=SHARED\n"
    "moe - if=num_local_experts>0 pre=post_attention_layernorm scale=residual_multiplier//1\n"
    "  router=block_sparse_moe.router.layer experts=num_local_experts top_k=num_experts_per_tok\n"
    "  score='topk_softmax' e_gate_up=block_sparse_moe.input_linear e_down=block_sparse_moe.output_linear\n"
    "  s_gate_up=shared_mlp.input_linear s_down=shared_mlp.output_linear s_inter=SHARED\n",

    "model llama4_text\n"
    "like llama\n"
    "let HEAD_DIM head_dim//128\n"
    "let THETA rope_parameters.rope_theta|rope_theta//500000\n"
    "let EPS rms_norm_eps//1e-5\n"
    "# no_rope_layers: 1 where there IS rope\n"
    "let ROPED no_rope_layers&&len(no_rope_layers)>0?no_rope_layers[i]!=0:(i+1)%(no_rope_layer_interval//4)!=0\n"
    "let SPARSE moe_layers?has(moe_layers,i):(i+1)%(interleave_moe_layer_step//1)==0\n"
    "attn = rope=ROPED?'inter':'none' q_norm=- k_norm=- qk_late qk_if=ROPED&&(use_qk_norm//true)\n"
    "  chunk=(layer_types?layer_types[i]=='chunked_attention':ROPED)?attention_chunk_size:null\n"
    "  temper=floor_scale//8192,ROPED||!(attn_temperature_tuning//true)?0:attn_scale//0.1\n"
    "mlp feed_forward gate=gate_proj up=up_proj down=down_proj if=!SPARSE inter=intermediate_size_mlp\n"
    "moe feed_forward pre=post_attention_layernorm if=SPARSE router=router experts=num_local_experts\n"
    "  top_k=num_experts_per_tok score='sigmoid' renorm=false score_in e_gate=experts.#.gate_proj\n"
    "  e_up=experts.#.up_proj e_down=experts.#.down_proj|experts.down_proj^ e_gate_up=experts.gate_up_proj^\n"
    "  s_gate=shared_expert.gate_proj s_up=shared_expert.up_proj s_down=shared_expert.down_proj s_inter=INTER\n",

    "model llama4\n"
    "like llama4_text\n"
    "config text_config\n"
    "tie absent\n"
    "root language_model.model model.language_model model\n"
    "head language_model.lm_head|lm_head\n"
    "carry vision_model.*= multi_modal_projector.*=*.linear_1 model.vision_model.*=\n"
    "carry model.multi_modal_projector.*=*.linear_1\n",

    "model glm4_moe\n"
    "like deepseek\n"
    "let SCORE_OK is(scoring_func,null,'sigmoid','noaux_tc')\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//0.5\n"
    "let SPARSE i>=(first_k_dense_replace//1)\n"
    "attn = o=o_proj q_norm=q_norm k_norm=k_norm qk_if=use_qk_norm//false\n"
    "moe = score='sigmoid' choice_bias=gate.e_score_correction_bias groups=n_group//1 top_groups=topk_group//1\n"
    "  group_score='top2' renorm=norm_topk_prob//true routed_scale=routed_scaling_factor//1\n",

    "model glm4v_moe_text\n"
    "like glm4_moe\n"
    "let QKV_BIAS attention_bias//true\n"
    "attn = q=q_proj+QKV_BIAS k=k_proj+QKV_BIAS v=v_proj+QKV_BIAS -q_norm -k_norm -qk_if\n",

    "model glm4v_moe\n"
    "like glm4v_moe_text\n"
    "config text_config\n"
    "tie absent\n"
    "root model.language_model language_model.model\n"
    "carry model.visual.*=*.merger.down_proj visual.*=*.merger.down_proj\n",

    "model hy_v3\n"
    "like glm4_moe\n"
    "let THETA rope_parameters.rope_theta|rope_theta//11158840\n"
    "let PARTIAL 1\n"
    "let SPARSE mlp_layer_types?mlp_layer_types[i]=='sparse':i>=(first_k_dense_replace//1)\n"
    "need qk_norm//true\n"
    "let HEAD_DIM head_dim//128\n"
    "attn = o=o_proj+attention_bias -qk_if\n"
    "mlp = gate=gate_proj+mlp_bias up=up_proj+mlp_bias down=down_proj+mlp_bias\n"
    "moe = router=router.gate experts=num_experts|num_local_experts choice_bias=expert_bias groups=1 top_groups=1\n"
    "  renorm=true routed_scale=router_scaling_factor//2.826 s_gate=shared_mlp.gate_proj+mlp_bias\n"
    "  s_up=shared_mlp.up_proj+mlp_bias s_down=shared_mlp.down_proj+mlp_bias\n"
    "  s_inter=(num_shared_experts//1)*moe_intermediate_size\n",

    "model mimo_v2_flash\n"
    "like glm4_moe\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':hybrid_layer_pattern[i]==1\n"
    "let SPARSE mlp_layer_types?mlp_layer_types[i]=='sparse':moe_layer_freq[i]==1\n"
    "let PARTIAL rope_parameters.full_attention.partial_rotary_factor|partial_rotary_factor//0.334\n"
    "let HEAD_DIM head_dim//192\n"
    "let V_SCALE attention_value_scale//1\n"
    "let FULL_THETA rope_parameters.full_attention.rope_theta|rope_theta//5e6\n"
    "let SWA_THETA rope_parameters.sliding_attention.rope_theta|swa_rope_theta//10000\n"
    "let WINDOW sliding_window_size?sliding_window_size+1:sliding_window\n"
    "need (n_shared_experts//0)==0\n"
    "need (swa_head_dim//HEAD_DIM)==HEAD_DIM&&(swa_v_head_dim//v_head_dim)==v_head_dim\n"
    "need (swa_num_attention_heads//HEADS)==HEADS\n"
    "need !(add_full_attention_sink_bias//false)&&(add_swa_attention_sink_bias//true)\n"
    "drop mlp moe\n"
    "attn = if=!SLIDING -q_norm -k_norm -qk_if v_dim=v_head_dim scale=V_SCALE theta=FULL_THETA\n"
    "  scaling=rope_parameters?rope_parameters.full_attention:rope_scaling\n"
    "attn:swa self_attn if=SLIDING pre=input_layernorm causal q=q_proj+attention_bias k=k_proj+attention_bias\n"
    "  v=v_proj+attention_bias o=o_proj v_dim=v_head_dim scale=V_SCALE theta=SWA_THETA window=WINDOW\n"
    "  scaling=rope_parameters?rope_parameters.sliding_attention:rope_scaling\n"
    "  kv_heads=swa_num_key_value_heads//2*KV sinks=attention_sink_bias|sinks\n"
    "mlp mlp if=!SPARSE pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "moe mlp if=SPARSE pre=post_attention_layernorm router=gate experts=n_routed_experts top_k=num_experts_per_tok\n"
    "  inter=moe_intermediate_size score='sigmoid' choice_bias=gate.e_score_correction_bias groups=n_group//1\n"
    "  top_groups=topk_group//1 group_score='top2' renorm=norm_topk_prob//true\n"
    "  routed_scale=routed_scaling_factor//1 e_gate=experts.#.gate_proj e_up=experts.#.up_proj\n"
    "  e_down=experts.#.down_proj|experts.down_proj e_gate_up=experts.gate_up_proj\n"
    "carry model.mtp.*\n",

    "model mimo_v2\n"
    "like mimo_v2_flash\n"
    "blocked the front ends and the fused tensor of this version are not known\n"
    "carry model.mtp.* visual.* audio_encoder.* speech_embeddings.*\n",

    "model laguna\n"
    "like deepseek\n"
    "let EPS rms_norm_eps//1e-6\n"
    "let SLIDING layer_types[i]=='sliding_attention'\n"
    "let SPARSE mlp_layer_types?mlp_layer_types[i]=='sparse':i>0\n"
    "let HEAD_DIM head_dim//128\n"
    "let SWA_PART rope_parameters.sliding_attention.partial_rotary_factor\n"
    "let FULL_PART rope_parameters.full_attention.partial_rotary_factor\n"
    "let PARTIAL (SLIDING?SWA_PART:FULL_PART)//1\n"
    "attn = heads=num_attention_heads_per_layer[i]//HEADS q_norm=q_norm k_norm=k_norm gate=g_proj!\n"
    "  gate_act='softplus' gate_head window=SLIDING?sliding_window:null\n"
    "  theta=SLIDING?rope_parameters.sliding_attention.rope_theta:rope_parameters.full_attention.rope_theta\n"
    "  scaling=SLIDING?rope_parameters.sliding_attention:rope_parameters.full_attention\n"
    "need (moe_router_logit_softcapping//0)==0\n"
    "need !moe_apply_router_weight_on_input\n"
    "moe = experts=num_experts score='sigmoid' choice_bias=experts.e_score_correction_bias renorm=true\n"
    "  routed_scale=moe_routed_scaling_factor//1 s_gate=shared_expert.gate_proj s_up=shared_expert.up_proj\n"
    "  s_down=shared_expert.down_proj s_inter=shared_expert_intermediate_size\n",

    "model solar_open\n"
    "like glm4_moe\n"
    "let THETA rope_parameters.rope_theta|rope_theta//1e6\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//1\n"
    "let HEAD_DIM head_dim//128\n"
    "let SPARSE true\n"
    "attn = -q_norm -k_norm -qk_if\n"
    "drop mlp\n",

    "model dots1\n"
    "like glm4_moe\n"
    "let EPS rms_norm_eps//1e-6\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//1\n"
    "let SPARSE (n_routed_experts//0)>0&&i>=(first_k_dense_replace//0)\n"
    "attn = o=o_proj+attention_bias -qk_if\n"
    "  window=(layer_types?layer_types[i]=='sliding_attention':i>=(max_window_layers//62))?sliding_window:null\n"
    "moe = renorm=norm_topk_prob//false\n",

    "model exaone_moe\n"
    "like exaone4\n"
    "let SPARSE mlp_layer_types?mlp_layer_types[i]=='sparse':i>=(first_k_dense_replace//1)\n"
    "attn = -post pre=input_layernorm\n"
    "mlp = -post pre=post_attention_layernorm if=!SPARSE\n"
    "moe mlp pre=post_attention_layernorm if=SPARSE router=gate experts=num_experts top_k=num_experts_per_tok\n"
    "  inter=moe_intermediate_size score='sigmoid' choice_bias=e_score_correction_bias groups=n_group//1\n"
    "  top_groups=topk_group//1 group_score='top2' renorm=norm_topk_prob//true\n"
    "  routed_scale=routed_scaling_factor//2.5 e_gate=experts.#.gate_proj e_up=experts.#.up_proj\n"
    "  e_down=experts.#.down_proj|experts.down_proj e_gate_up=experts.gate_up_proj s_gate=shared_experts.gate_proj\n"
    "  s_up=shared_experts.up_proj s_down=shared_experts.down_proj\n"
    "  s_inter=(num_shared_experts//1)*moe_intermediate_size\n"
    "carry mtp.*\n",

    "model afmoe\n"
    "like exaone_moe\n"
    "embed .embed_tokens scale=mup_enabled?sqrt(HIDDEN):1\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':(i+1)%(global_attn_every_n_layers//4)!=0\n"
    "let SPARSE i>=(num_dense_layers//1)\n"
    "attn = post=post_attention_layernorm gate=gate_proj rope=SLIDING?'half':'none' q=q_proj+attention_bias\n"
    "  k=k_proj+attention_bias v=v_proj+attention_bias o=o_proj+attention_bias\n"
    "mlp = pre=pre_mlp_layernorm post=post_mlp_layernorm\n"
    "moe = pre=pre_mlp_layernorm post=post_mlp_layernorm router=router.gate choice_bias=expert_bias groups=1\n"
    "  top_groups=1 renorm=true routed_scale=route_scale//1\n",

    "model hunyuan_v1_moe\n"
    "like hunyuan_v1_dense\n"
    "need (moe_intermediate_size[i]//moe_intermediate_size//INTER)==INTER\n"
    "drop mlp\n"
    "moe mlp pre=post_attention_layernorm router=gate.wg experts=num_experts[i]//num_experts\n"
    "  top_k=moe_topk[i]//moe_topk score='softmax' renorm=true e_gate=experts.#.gate_proj e_up=experts.#.up_proj\n"
    "  e_down=experts.#.down_proj|experts.down_proj e_gate_up=experts.gate_up_proj s_gate=shared_mlp.gate_proj\n"
    "  s_up=shared_mlp.up_proj s_down=shared_mlp.down_proj s_inter=INTER\n",

    "model ernie4_5_moe\n"
    "like ernie4_5\n"
    "head lm_head bias=use_bias\n"
    "let HEAD_DIM head_dim//HIDDEN/HEADS\n"
    "let LAST moe_layer_end_index//-1\n"
    "let FIRST moe_layer_start_index//1\n"
    "let SPARSE (i+1)%(moe_layer_interval//1)==0&&i>=FIRST&&i<=(LAST<0?LAYERS-1:LAST)\n"
    "mlp = if=!SPARSE\n"
    "moe mlp pre=post_attention_layernorm if=SPARSE router=gate\n"
    "  experts=moe_num_experts|num_experts|num_local_experts top_k=moe_k|num_experts_per_tok\n"
    "  inter=moe_intermediate_size score='softmax' choice_bias=moe_statics.e_score_correction_bias renorm=true\n"
    "  e_gate=experts.#.gate_proj e_up=experts.#.up_proj e_down=experts.#.down_proj|experts.down_proj\n"
    "  e_gate_up=experts.gate_up_proj s_gate=shared_experts.gate_proj+use_bias s_up=shared_experts.up_proj+use_bias\n"
    "  s_down=shared_experts.down_proj+use_bias s_inter=(moe_num_shared_experts//0)*moe_intermediate_size\n"
    "carry model.mtp_*\n",

    "model phimoe\n"
    "like llama\n"
    "norms ln+\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let THETA rope_parameters.rope_theta|rope_theta//1e6\n"
    "attn = window=sliding_window\n"
    "drop mlp\n"
    "# sparsemixer: the experts within 2 * router_jitter_noise (0.01 if absent) of the best\n"
    "moe block_sparse_moe pre=post_attention_layernorm router=gate experts=num_local_experts\n"
    "  top_k=num_experts_per_tok score='sparsemixer' jitter=router_jitter_noise//0.01 e_gate=experts.#.w1\n"
    "  e_up=experts.#.w3 e_down=experts.#.w2\n"
    "head lm_head bias=lm_head_bias\n",

    "model grinmoe\n"
    "like phimoe\n",

    "model dbrx\n"
    "norms ln\n"
    "let THETA rope_parameters.rope_theta//attn_config.rope_theta//10000\n"
    "let KV attn_config.kv_n_heads|num_key_value_heads\n"
    "let EPS 1e-5\n"
    "let ACT ffn_config.ffn_act_fn.name//'silu'\n"
    "let INTER ffn_config.ffn_hidden_size\n"
    "let CONTEXT max_seq_len\n"
    "need is(ffn_config.moe_normalize_expert_weights,1,null)\n"
    "root transformer\n"
    "embed .wte\n"
    "layers .blocks.#\n"
    "norm .norm_f\n"
    "attn norm_attn_norm.attn pre=norm_attn_norm.norm_1 causal qkv=Wqkv o=out_proj clip=attn_config.clip_qkv\n"
    "moe ffn pre=norm_attn_norm.norm_2 router=router.layer experts=ffn_config.moe_num_experts\n"
    "  top_k=ffn_config.moe_top_k score='softmax'\n"
    "  renorm=given(ffn_config.moe_normalize_expert_weights)&&ffn_config.moe_normalize_expert_weights==1\n"
    "  e_gate=experts.mlp.w1 e_up=experts.mlp.v1 e_down=experts.mlp.w2^\n",

    "model dbrx_converted\n"
    "like dbrx\n"
    "attn = -qkv q=q_proj k=k_proj v=v_proj\n"
    "moe = e_gate=experts.mlp.#.w1 e_up=experts.mlp.#.v1 e_down=experts.mlp.#.w2\n",

    "model minicpm3\n"
    "like minicpm\n"
    "let RESIDUAL scale_depth?scale_depth/sqrt(LAYERS):1\n"
    "embed .embed_tokens scale=scale_emb//12\n"
    "head lm_head scale=dim_model_base?dim_model_base/HIDDEN:1\n"
    "drop attn mlp\n"
    "mla self_attn pre=input_layernorm causal q_a=q_a_proj+attention_bias q_a_norm=q_a_layernorm@1e-6 q_b=q_b_proj\n"
    "  kv_a=kv_a_proj_with_mqa+attention_bias kv_a_norm=kv_a_layernorm@1e-6 kv_b=kv_b_proj o=o_proj+attention_bias\n"
    "  q_rank=q_lora_rank kv_rank=kv_lora_rank nope=qk_nope_head_dim rope_dim=qk_rope_head_dim\n"
    "  v_dim=v_head_dim//HIDDEN/HEADS scale_qk=1/sqrt(qk_nope_head_dim+qk_rope_head_dim) scale=RESIDUAL\n"
    "mlp mlp pre=post_attention_layernorm gate=gate_proj+mlp_bias up=up_proj+mlp_bias down=down_proj+mlp_bias\n"
    "  scale=RESIDUAL\n",

    "model youtu\n"
    "like deepseek_v3\n"
    "tie tie_word_embeddings//true\n"
    "drop moe\n"
    "mlp = -if\n",

    "model jamba\n"
    "like llama\n"
    "need is(ACT,'silu','swish')   # in the convolution as well, which knows no other\n"
    "let DT_RANK is(mamba_dt_rank//'auto','auto')?ceil(HIDDEN/16):mamba_dt_rank\n"
    "let SSM i%(attn_layer_period//8)!=(attn_layer_offset//4)\n"
    "let SPARSE (num_experts//16)>1&&i%(expert_layer_period//2)==(expert_layer_offset//1)\n"
    "norm .final_layernorm\n"
    "drop mlp\n"
    "attn = if=!SSM rope='none' q=q_proj k=k_proj v=v_proj o=o_proj\n"
    "mamba mamba if=SSM pre=input_layernorm in=in_proj+mamba_proj_bias conv=conv1d+(mamba_conv_bias//true)\n"
    "  x=x_proj! dt=dt_proj!+ a_log=A_log d=D out=out_proj+mamba_proj_bias inner=int((mamba_expand//2)*HIDDEN)\n"
    "  state=mamba_d_state//16 rank=DT_RANK kernel=mamba_d_conv//4 dt_norm=dt_layernorm b_norm=b_layernorm\n"
    "  c_norm=c_layernorm\n"
    "mlp feed_forward if=!SPARSE pre=pre_ff_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "moe feed_forward if=SPARSE pre=pre_ff_layernorm router=router experts=num_experts//16\n"
    "  top_k=num_experts_per_tok score='softmax' renorm=false e_gate=experts.#.gate_proj e_up=experts.#.up_proj\n"
    "  e_down=experts.#.down_proj|experts.down_proj e_gate_up=experts.gate_up_proj\n",

    "model mamba\n"
    "need is(ACT,'silu','swish')   # in the convolution as well, which knows no other\n"
    "root backbone model\n"
    "embed .embeddings\n"
    "norm .norm_f\n"
    "let EPS layer_norm_epsilon//1e-5\n"
    "tie tie_word_embeddings//true\n"
    "mamba mixer pre=norm in=in_proj+use_bias conv=conv1d+(use_conv_bias//true) x=x_proj dt=dt_proj!+ a_log=A_log\n"
    "  d=D out=out_proj+use_bias inner=intermediate_size//int((expand//2)*HIDDEN) state=state_size\n"
    "  rank=is(time_step_rank//'auto','auto')?ceil(HIDDEN/16):time_step_rank kernel=conv_kernel\n",

    "model falcon_mamba   # dt, B and C are normed without a gain\n"
    "like mamba\n"
    "mamba = dt_norm=-@mixer_rms_eps//1e-6 b_norm=-@mixer_rms_eps//1e-6 c_norm=-@mixer_rms_eps//1e-6\n",

    "model mamba2\n"
    "like mamba\n"
    "need is(ACT,'silu','swish')   # in the convolution as well, which knows no other\n"
    "tie tie_word_embeddings//false\n"
    "drop mamba\n"
    "mamba2 mixer pre=norm in=in_proj+use_bias conv=conv1d+(use_conv_bias//true) a_log=A_log d=D dt_bias=dt_bias\n"
    "  norm=norm out=out_proj+use_bias heads=num_heads head_dim=head_dim groups=n_groups state=state_size\n"
    "  kernel=conv_kernel dt_min=time_step_limit[0] dt_max=time_step_limit[1]\n",

    "model nemotron_h\n"
    "root backbone model\n"
    "embed .embeddings\n"
    "norm .norm_f\n"
    "let LAYERS num_hidden_layers//len(layers_block_type)\n"
    "let KIND (layers_block_type//hybrid_override_pattern)[i]\n"
    "let EPS layer_norm_epsilon//rms_norm_eps//1e-5\n"
    "let ACT mlp_hidden_act//'relu2'\n"
    "let HEAD_DIM head_dim|attention_head_dim//128\n"
    "need is(mamba_hidden_act//'silu','silu')\n"
    "need !sliding_window\n"
    "attn mixer if=is(KIND,'*','attention','full_attention') pre=norm causal q=q_proj+? k=k_proj+? v=v_proj+?\n"
    "  o=o_proj+? rope='none'\n"
    "mamba2 mixer if=is(KIND,'M','mamba','linear_attention') pre=norm in=in_proj+use_bias\n"
    "  conv=conv1d+(use_conv_bias//true) a_log=A_log d=D dt_bias=dt_bias norm=norm out=out_proj+use_bias\n"
    "  heads=mamba_num_heads head_dim=mamba_head_dim groups=n_groups|mamba_n_groups state=ssm_state_size\n"
    "  kernel=conv_kernel|mamba_d_conv//4 dt_min=time_step_min|mamba_dt_min//0.001\n"
    "mlp mixer if=is(KIND,'-','mlp') pre=norm up=up_proj+mlp_bias down=down_proj+mlp_bias\n"
    "moe mixer if=is(KIND,'E','moe')&&!moe_latent_size pre=norm router=gate experts=n_routed_experts\n"
    "  top_k=num_experts_per_tok\n"
    "  inter=moe_intermediate_size score='sigmoid' choice_bias=gate.e_score_correction_bias groups=n_group//1\n"
    "  top_groups=topk_group//1 group_score='top2' renorm=norm_topk_prob//true\n"
    "  routed_scale=routed_scaling_factor//1 e_up=experts.#.up_proj|experts.up_proj\n"
    "  e_down=experts.#.down_proj|experts.down_proj s_up=shared_experts.up_proj+mlp_bias\n"
    "  s_down=shared_experts.down_proj+mlp_bias s_inter=moe_shared_expert_intermediate_size\n"
    "moe:latent mixer if=is(KIND,'E','moe')&&moe_latent_size pre=norm e_in=fc1_latent_proj!+mlp_bias\n"
    "  e_out=fc2_latent_proj!+mlp_bias latent=moe_latent_size router=gate experts=n_routed_experts\n"
    "  top_k=num_experts_per_tok\n"
    "  inter=moe_intermediate_size score='sigmoid' choice_bias=gate.e_score_correction_bias groups=n_group//1\n"
    "  top_groups=topk_group//1 group_score='top2' renorm=norm_topk_prob//true\n"
    "  routed_scale=routed_scaling_factor//1 e_up=experts.#.up_proj|experts.up_proj\n"
    "  e_down=experts.#.down_proj|experts.down_proj s_up=shared_experts.up_proj+mlp_bias\n"
    "  s_down=shared_experts.down_proj+mlp_bias s_inter=moe_shared_expert_intermediate_size\n"
    "carry mtp.*\n",

    "model bamba\n"
    "like llama\n"
    "need is(ACT,'silu','swish')   # in the convolution as well, which knows no other\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let PARTIAL 1/2\n"
    "let SSM attn_layer_indices?!has(attn_layer_indices,i):is(layers_block_type[i],null,'mamba','linear_attention')\n"
    "norm .final_layernorm\n"
    "drop mlp\n"
    "attn = if=!SSM\n"
    "mamba2 mamba if=SSM pre=input_layernorm in=in_proj+mamba_proj_bias conv=conv1d+(mamba_conv_bias//true)\n"
    "  a_log=A_log d=D dt_bias=dt_bias norm=norm out=out_proj+mamba_proj_bias heads=mamba_n_heads\n"
    "  groups=mamba_n_groups state=mamba_d_state\n"
    "  head_dim=is(mamba_d_head//'auto','auto')?(mamba_expand//2)*HIDDEN/mamba_n_heads:mamba_d_head\n"
    "  kernel=mamba_d_conv//4 dt_min=time_step_limit[0] dt_max=time_step_limit[1]\n"
    "mlp feed_forward pre=pre_ff_layernorm gate=gate_proj+mlp_bias up=up_proj+mlp_bias down=down_proj+mlp_bias\n",

    "model falcon_h1\n"
    "need is(ACT,'silu','swish')   # in the convolution as well, which knows no other\n"
    "embed .embed_tokens scale=embedding_multiplier//1\n"
    "norm .final_layernorm\n"
    "head lm_head scale=lm_head_multiplier//1\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let INNER mamba_d_ssm//int((mamba_expand//2)*HIDDEN)\n"
    "mamba2 mamba pre=input_layernorm if=mamba_rms_norm in=in_proj+mamba_proj_bias\n"
    "  conv=conv1d+(mamba_conv_bias//true) a_log=A_log d=D dt_bias=dt_bias norm=norm\n"
    "  norm_first=mamba_norm_before_gate//true out=out_proj+projectors_bias heads=mamba_n_heads\n"
    "  head_dim=INNER/mamba_n_heads groups=mamba_n_groups state=mamba_d_state kernel=mamba_d_conv//4\n"
    "  in_scale=ssm_in_multiplier//1 mults=ssm_multipliers scale=ssm_out_multiplier//1 dt_min=time_step_limit[0]\n"
    "  dt_max=time_step_limit[1]\n"
    "mamba2:plain mamba pre=input_layernorm if=!mamba_rms_norm in=in_proj+mamba_proj_bias\n"
    "  conv=conv1d+(mamba_conv_bias//true) a_log=A_log d=D dt_bias=dt_bias out=out_proj+projectors_bias\n"
    "  heads=mamba_n_heads head_dim=INNER/mamba_n_heads groups=mamba_n_groups state=mamba_d_state\n"
    "  kernel=mamba_d_conv//4 in_scale=ssm_in_multiplier//1 mults=ssm_multipliers scale=ssm_out_multiplier//1\n"
    "  dt_min=time_step_limit[0] dt_max=time_step_limit[1]\n"
    "attn self_attn beside pre=input_layernorm causal q=q_proj+attention_bias k=k_proj+attention_bias\n"
    "  v=v_proj+attention_bias o=o_proj+attention_bias in_scale=attention_in_multiplier//1\n"
    "  scale=attention_out_multiplier//1 k_scale=key_multiplier//1\n"
    "mlp feed_forward pre=pre_ff_layernorm gate=gate_proj+mlp_bias up=up_proj+mlp_bias down=down_proj+mlp_bias\n"
    "  gate_scale=mlp_multipliers[0]//1 scale=mlp_multipliers[1]//1\n",

    "model lfm2\n"
    "need !layer_types||is(layer_types[i],'full_attention','conv')\n"
    "norm .embedding_norm\n"
    "tie tie_embedding//tie_word_embeddings//true\n"
    "let EPS norm_eps//block_norm_eps//1e-5\n"
    "let THETA rope_parameters.rope_theta|rope_theta//1e6\n"
    "let FULL layer_types?layer_types[i]=='full_attention':!full_attn_idxs||has(full_attn_idxs,i)\n"
    "let FF block_ff_dim//intermediate_size\n"
    "let MULTIPLE block_multiple_of//256\n"
    "let TWO_THIRDS int((block_ffn_dim_multiplier//1)*int(2*FF/3))\n"
    "let INTER (block_auto_adjust_ff_dim//true)?MULTIPLE*ceil(TWO_THIRDS/MULTIPLE):FF\n"
    "conv conv pre=operator_norm if=!FULL in=in_proj+conv_bias conv=conv+conv_bias out=out_proj+conv_bias\n"
    "  kernel=conv_L_cache\n"
    "attn self_attn pre=operator_norm if=FULL causal q=q_proj k=k_proj v=v_proj o=out_proj q_norm=q_layernorm\n"
    "  k_norm=k_layernorm\n"
    "mlp feed_forward pre=ffn_norm gate=w1 up=w3 down=w2 act='silu'\n",

    "model lfm2_moe\n"
    "like lfm2\n"
    "let INTER intermediate_size\n"
    "let SPARSE i>=(num_dense_layers//2)\n"
    "mlp = if=!SPARSE\n"
    "moe feed_forward pre=ffn_norm if=SPARSE router=gate experts=num_experts top_k=num_experts_per_tok\n"
    "  inter=moe_intermediate_size act='silu' score='sigmoid' choice_bias=expert_bias+use_expert_bias//true\n"
    "  renorm=norm_topk_prob//true\n"
    "  routed_scale=routed_scaling_factor//1 e_gate=experts.#.w1 e_up=experts.#.w3\n"
    "  e_down=experts.#.w2|experts.down_proj e_gate_up=experts.gate_up_proj\n",

    "model lfm2_vl\n"
    "like lfm2\n"
    "config text_config\n"
    "tie absent\n"
    "root model.language_model language_model.model\n"
    "head language_model.lm_head|lm_head\n"
    "carry vision_tower.*= multi_modal_projector.*=*.linear_2 model.vision_tower.*=\n"
    "carry model.multi_modal_projector.*=*.linear_2\n",

    "model qwen3_next\n"
    "like qwen3_moe\n"
    "need is(ACT,'silu','swish')   # in the convolution as well, which knows no other\n"
    "norms rms1\n"
    "let HEAD_DIM head_dim//256\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//0.25\n"
    "let LINEAR layer_types?layer_types[i]=='linear_attention':(i+1)%(full_attention_interval//4)!=0\n"
    "need attn_output_gate//true\n"
    "drop mlp moe\n"
    "attn = q_gate if=!LINEAR -window\n"
    "delta linear_attn pre=input_layernorm if=LINEAR qkvz=in_proj_qkvz ba=in_proj_ba! conv=conv1d a_log=A_log\n"
    "  dt_bias=dt_bias norm=norm:rms out=out_proj k_heads=linear_num_key_heads v_heads=linear_num_value_heads\n"
    "  k_dim=linear_key_head_dim v_dim=linear_value_head_dim kernel=linear_conv_kernel_dim//4\n"
    "mlp mlp pre=post_attention_layernorm if=!SPARSE gate=gate_proj up=up_proj down=down_proj\n"
    "moe mlp pre=post_attention_layernorm if=SPARSE router=gate experts=num_experts|num_local_experts\n"
    "  top_k=num_experts_per_tok inter=moe_intermediate_size score='softmax' renorm=norm_topk_prob//true\n"
    "  e_gate=experts.#.gate_proj e_up=experts.#.up_proj e_down=experts.#.down_proj|experts.down_proj\n"
    "  e_gate_up=experts.gate_up_proj s_gate=shared_expert.gate_proj s_up=shared_expert.up_proj\n"
    "  s_down=shared_expert.down_proj s_inter=shared_expert_intermediate_size s_mix=shared_expert_gate\n"
    "carry mtp.*\n",

    "model qwen3_5_moe_text\n"
    "like qwen3_next\n"
    "let SPARSE true\n"
    "drop mlp\n"
    "delta = -qkvz -ba qkv=in_proj_qkv z=in_proj_z b=in_proj_b! a=in_proj_a!\n"
    "moe = renorm=true\n",

    "model qwen3_5_text\n"
    "like qwen3_5_moe_text\n"
    "drop moe\n"
    "mlp mlp pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n",

    "model qwen3_5\n"
    "like qwen3_5_text\n"
    "config text_config\n"
    "tie absent\n"
    "root model.language_model model\n"
    "carry model.visual.*=*.merger.linear_fc2 visual.*=*.merger.linear_fc2 mtp.*\n",

    "model qwen3_5_moe\n"
    "like qwen3_5_moe_text\n"
    "config text_config\n"
    "tie absent\n"
    "root model.language_model model\n"
    "carry model.visual.*=*.merger.linear_fc2 visual.*=*.merger.linear_fc2 mtp.*\n",

    "model intern_s2_preview\n"
    "like qwen3_5_moe\n"
    "carry model.visual.* model.vision_tower.* model.multi_modal_projector.* mtp.* model.time_series.* model.ts_*\n",

    "model minicpmv4_6\n"
    "like qwen3_5\n"
    "carry model.vision_tower.* model.merger.* model.vpm.* model.resampler.* mtp.*\n",

    "model qwen_drive\n"
    "like qwen3_5_text\n"
    "config vlm_config.text_config text_config\n"
    "tie absent\n"
    "root vlm.model.language_model\n"
    "head vlm.lm_head\n"
    "carry vlm.model.visual.* mtp.* vlm.mtp.*\n",

    "model zdtaichu5_0\n"
    "like qwen3_5_text\n"
    "config text_config\n"
    "tie absent\n"
    "root language_model.model\n"
    "head language_model.lm_head\n"
    "carry visual.* vision_tower.* vision_model.* mlp1.* multi_modal_projector.* mtp.* language_model.mtp.*\n",

    "model ovis2_6_next\n"
    "like qwen3_next\n"
    "config llm_config\n"
    "tie absent\n"
    "root llm.model\n"
    "head llm.lm_head\n"
    "carry visual_tokenizer.* vte.* mtp.* llm.mtp.*\n",

    "model minimax\n"
    "like mixtral\n"
    "need is(ACT,'silu','swish')   # in the attention that is linear as well\n"
    "need !layer_types||is(layer_types[i],'full_attention','linear_attention')\n"
    "let FULL layer_types?layer_types[i]=='full_attention':i%2==0\n"
    "drop moe\n"
    "attn = if=FULL keep=full_attn_alpha_factor//1 scale=full_attn_beta_factor//1\n"
    "lightning self_attn if=!FULL pre=input_layernorm keep=linear_attn_alpha_factor//1\n"
    "  scale=linear_attn_beta_factor//1 qkv=qkv_proj gate=output_gate norm=norm@1e-6 out=out_proj\n"
    "moe - pre=post_attention_layernorm keep=mlp_alpha_factor//1 scale=mlp_beta_factor//1\n"
    "  router=block_sparse_moe.gate|mlp.gate experts=num_local_experts|num_experts top_k=num_experts_per_tok\n"
    "  score='softmax' renorm=true e_gate=block_sparse_moe.experts.#.w1|mlp.experts.#.gate_proj\n"
    "  e_up=block_sparse_moe.experts.#.w3|mlp.experts.#.up_proj\n"
    "  e_down=block_sparse_moe.experts.#.w2|mlp.experts.#.down_proj|mlp.experts.down_proj\n"
    "  e_gate_up=mlp.experts.gate_up_proj\n"
    "ignore *.self_attn.slope_rate *.self_attn.query_decay *.self_attn.key_decay *.self_attn.diagonal_decay\n",

    "model minimax_m2\n"
    "like mixtral\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//1\n"
    "need is(scoring_func,null,'sigmoid')\n"
    "need use_qk_norm//true\n"
    "need (shared_intermediate_size//0)==0\n"
    "let HEAD_DIM head_dim//128\n"
    "let THETA rope_parameters.rope_theta|rope_theta//5e6\n"
    "let ROPE_DIM rotary_dim//int(HEAD_DIM*PARTIAL)\n"
    "attn = q_norm=q_norm k_norm=k_norm qk_norm='full' -window\n"
    "moe = score='sigmoid' choice_bias=block_sparse_moe.e_score_correction_bias\n",

    "model minimax_m3_vl\n"
    "config text_config\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//1\n"
    "tie absent\n"
    "root language_model.model model.language_model\n"
    "head language_model.lm_head|lm_head\n"
    "norms rms1\n"
    "need\n"
    "  (use_gemma_norm//true)&&(use_qk_norm//true)&&!attention_output_gate&&is(qk_norm_type//'per_head','per_head')\n"
    "need is(scoring_func//'sigmoid','sigmoid')&&(swiglu_alpha//1.702)==1.702&&(swiglu_beta//1)==1\n"
    "need (n_shared_experts//1)==1&&(!layer_types||is(layer_types[i],'full_attention','minimax_m3_sparse'))\n"
    "let HEAD_DIM head_dim//128\n"
    "let ACT 'silu'\n"
    "let THETA rope_parameters.rope_theta|rope_theta//5e6\n"
    "# published files give the factor beside rotary_dim; transformers reads only it\n"
    "let ROPE_DIM int(HEAD_DIM*PARTIAL)\n"
    "let SPARSE mlp_layer_types?mlp_layer_types[i]=='sparse':moe_layer_freq?moe_layer_freq[i]!=0:true\n"
    "# below so many tokens every block of keys is chosen\n"
    "let BLOCKS index_topk_blocks|sparse_attention_config.sparse_topk_blocks//16\n"
    "let BLOCK index_block_size|sparse_attention_config.sparse_block_size//128\n"
    "let CONTEXT min(BLOCKS*BLOCK,max_position_embeddings)\n"
    "attn self_attn pre=input_layernorm causal q=q_proj k=k_proj v=v_proj o=o_proj q_norm=q_norm k_norm=k_norm\n"
    "mlp mlp if=!SPARSE pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "  inter=dense_intermediate_size limit=swiglu_limit//7\n"
    "moe block_sparse_moe if=SPARSE pre=post_attention_layernorm router=gate experts=num_local_experts\n"
    "  top_k=num_experts_per_tok score='sigmoid' choice_bias=e_score_correction_bias renorm=true\n"
    "  routed_scale=routed_scaling_factor//2 limit=swiglu_limit//7 e_gate=experts.#.w1 e_up=experts.#.w3\n"
    "  e_down=experts.#.w2 s_gate=shared_experts.gate_proj s_up=shared_experts.up_proj\n"
    "  s_down=shared_experts.down_proj s_inter=shared_intermediate_size\n"
    "carry *.self_attn.index_* *.self_attn.indexer.* vision_tower.* multi_modal_projector.* patch_merge_mlp.*\n"
    "  model.vision_tower.* model.multi_modal_projector.* mtp.* language_model.mtp.* .mtp* .layers.#.*\n"
    "longest CONTEXT\n",

    "model cohere2_moe\n"
    "like cohere2\n"
    "need rms_norm_eps==null\n"
    "need is(shared_expert_combination_strategy//'average','average','sum')\n"
    "let HEAD_DIM head_dim//128\n"
    "let DENSE first_k_dense_replace//0\n"
    "let SPARSE mlp_layer_types?mlp_layer_types[i]=='sparse':i>=DENSE\n"
    "let PREFIX_PATTERN prefix_dense_sliding_window_pattern//1\n"
    "let PATTERN sliding_window_pattern//4\n"
    "let LOCAL i<DENSE?(i+1)%PREFIX_PATTERN!=0:(i-DENSE+1)%PATTERN!=0\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':LOCAL\n"
    "let SIGMOID expert_selection_fn=='sigmoid'\n"
    "let SHARED num_shared_experts//0\n"
    "attn = rope=SLIDING||!SPARSE&&PREFIX_PATTERN==1?'inter':'none'\n"
    "mlp = if=!SPARSE inter=prefix_dense_intermediate_size//INTER\n"
    "moe mlp if=SPARSE pre=input_layernorm beside router=gate experts=num_experts top_k=num_experts_per_tok\n"
    "  score=SIGMOID?'sigmoid':'topk_softmax' renorm=SIGMOID&&(norm_topk_prob//true)\n"
    "  scale=SHARED>0&&(shared_expert_combination_strategy//'average')=='average'?1/2:1 e_gate=experts.#.gate_proj\n"
    "  e_up=experts.#.up_proj e_down=experts.#.down_proj|experts.down_proj e_gate_up=experts.gate_up_proj\n"
    "  s_gate=shared_experts.gate_proj s_up=shared_experts.up_proj s_down=shared_experts.down_proj\n"
    "  s_inter=SHARED*INTER\n",

    "model cohere_compass_text\n"
    "like cohere2\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':false\n"
    "let ROPE SLIDING?rope_parameters.sliding_attention:rope_parameters.full_attention\n"
    "let SWA_THETA rope_parameters.sliding_attention.rope_theta\n"
    "let FULL_THETA rope_parameters.full_attention.rope_theta\n"
    "let THETA_HERE SLIDING?SWA_THETA:FULL_THETA\n"
    "attn = theta=THETA_HERE//10000 scaling=ROPE rope=ROPE!=null?'half':'none'\n"
    "head lm_head scale=logit_scale//1\n",

    "model cohere_compass\n"
    "like cohere_compass_text\n"
    "config text_config\n"
    "tie absent\n"
    "root model.language_model\n"
    "carry visual.*=*.merger.linear_fc2,*.deepstack_merger_list.*.linear_fc2\n"
    "carry model.visual.*=*.merger.linear_fc2,*.deepstack_merger_list.*.linear_fc2\n",

    "model bailing_moe\n"
    "like llama\n"
    "need !(norm_head//false)   # it would norm the head's columns\n"
    "need !(norm_softmax//false)\n"
    "need !(multi_gate//false)\n"
    "embed .word_embeddings\n"
    "let SPARSE (num_experts//0)>0&&i>=(first_k_dense_replace//0)\n"
    "attn attention -q -k -v qkv=query_key_value+use_qkv_bias o=dense+use_bias\n"
    "mlp = if=!SPARSE gate=gate_proj+use_bias up=up_proj+use_bias down=down_proj+use_bias\n"
    "moe mlp if=SPARSE pre=post_attention_layernorm router=gate experts=num_experts top_k=num_experts_per_tok\n"
    "  inter=moe_intermediate_size score='softmax' renorm=norm_topk_prob&&num_experts_per_tok>1\n"
    "  e_gate=experts.#.gate_proj+use_bias e_up=experts.#.up_proj+use_bias e_down=experts.#.down_proj+use_bias\n"
    "  s_gate=shared_experts.gate_proj+use_bias s_up=shared_experts.up_proj+use_bias\n"
    "  s_down=shared_experts.down_proj+use_bias s_inter=(num_shared_experts//0)*moe_intermediate_size\n",

    "model bailing_moe_v2\n"
    "like bailing_moe\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//1\n"
    "need use_qk_norm//true\n"
    "attn = q_norm=query_layernorm k_norm=key_layernorm\n"
    "moe = score='sigmoid' choice_bias=gate.expert_bias groups=n_group//1 top_groups=topk_group//1\n"
    "  group_score='top2' renorm=num_experts_per_tok>1 routed_scale=routed_scaling_factor//1\n",

    "model llada2_moe\n"
    "like bailing_moe_v2\n"
    "attn = -causal full block=32\n"
    "diffusion\n"
    "let MASK mask_token_id//156895   # published files leave it to the class that generates\n",

    "model klear Klear\n"
    "like qwen3_moe\n"
    "need !use_sliding_window\n"
    "moe = score='sigmoid' choice_bias=expert_bias s_gate=shared_experts.gate_proj s_up=shared_experts.up_proj\n"
    "  s_down=shared_experts.down_proj s_inter=(n_shared_experts//1)*moe_intermediate_size mix2=coefficient+\n",

    "model longcat_flash\n"
    "# two attentions and two mlps a layer; the experts read with the first mlp and are added with the second\n"
    "# (word late); zero_expert_num experts give their input back (word identity); q and the latent are scaled\n"
    "let INTER ffn_hidden_size\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let THETA rope_parameters.rope_theta|rope_theta//1e7\n"
    "mla:0 self_attn.0 pre=input_layernorm.0 causal q_a=q_a_proj+attention_bias q_a_norm=q_a_layernorm@1e-6\n"
    "  q_b=q_b_proj kv_a=kv_a_proj_with_mqa+attention_bias kv_a_norm=kv_a_layernorm@1e-6 kv_b=kv_b_proj\n"
    "  o=o_proj+attention_bias q_rank=q_lora_rank kv_rank=kv_lora_rank nope=qk_nope_head_dim\n"
    "  rope_dim=qk_rope_head_dim v_dim=v_head_dim rope='inter'\n"
    "  q_scale=(mla_scale_q_lora//true)?sqrt(HIDDEN/q_lora_rank):1\n"
    "  kv_scale=(mla_scale_kv_lora//true)?sqrt(HIDDEN/kv_lora_rank):1\n"
    "moe mlp pre=post_attention_layernorm.0 late router=router.classifier+router_bias experts=n_routed_experts\n"
    "  identity=zero_expert_num top_k=moe_topk|num_experts_per_tok inter=expert_ffn_hidden_size score='softmax'\n"
    "  renorm=false choice_bias=router.e_score_correction_bias routed_scale=routed_scaling_factor//1\n"
    "  e_gate=experts.#.gate_proj e_up=experts.#.up_proj e_down=experts.#.down_proj|experts.down_proj\n"
    "  e_gate_up=experts.gate_up_proj\n"
    "mlp:0 mlps.0 pre=post_attention_layernorm.0 beside gate=gate_proj up=up_proj down=down_proj\n"
    "mla:1 self_attn.1 pre=input_layernorm.1 causal q_a=q_a_proj+attention_bias q_a_norm=q_a_layernorm@1e-6\n"
    "  q_b=q_b_proj kv_a=kv_a_proj_with_mqa+attention_bias kv_a_norm=kv_a_layernorm@1e-6 kv_b=kv_b_proj\n"
    "  o=o_proj+attention_bias q_rank=q_lora_rank kv_rank=kv_lora_rank nope=qk_nope_head_dim\n"
    "  rope_dim=qk_rope_head_dim v_dim=v_head_dim rope='inter'\n"
    "  q_scale=(mla_scale_q_lora//true)?sqrt(HIDDEN/q_lora_rank):1\n"
    "  kv_scale=(mla_scale_kv_lora//true)?sqrt(HIDDEN/kv_lora_rank):1\n"
    "mlp:1 mlps.1 pre=post_attention_layernorm.1 gate=gate_proj up=up_proj down=down_proj\n"
    "carry model.mtp.*\n"
    "ignore *.mlp.experts.*   # the experts that do nothing have halves of linears on disk\n",

    "model gemma4_text\n"
    "like gemma4_unified\n"
    "config text_config\n"
    "root model\n"
    "let WINDOW sliding_window//512\n"
    "let SIDE hidden_size_per_layer_input//256\n"
    "let MOE enable_moe_block//false\n"
    "side .embed_tokens_per_layer if=SIDE>0 width=SIDE rows=vocab_size_per_layer_input//262144 scale=sqrt(SIDE)\n"
    "  in=.per_layer_model_projection! in_scale=1/sqrt(HIDDEN) norm=.per_layer_projection_norm sum_scale=1/sqrt(2)\n"
    "mlp = if=!MOE stream=layer_scalar+(SIDE==0)\n"
    "mlp:moe mlp if=MOE pre=pre_feedforward_layernorm post=post_feedforward_layernorm_1 gate=gate_proj up=up_proj\n"
    "  down=down_proj inter=WIDE\n"
    "moe - if=MOE beside pre=pre_feedforward_layernorm_2 post=post_feedforward_layernorm_2\n"
    "  joint=post_feedforward_layernorm router=router.proj router_norm=router.scale router_scale=1/sqrt(HIDDEN)\n"
    "  e_scale=router.per_expert_scale experts=num_experts top_k=top_k_experts inter=moe_intermediate_size\n"
    "  renorm=true e_gate_up=experts.gate_up_proj e_down=experts.down_proj stream=layer_scalar+(SIDE==0)\n"
    "mlp:side - if=SIDE>0 side post=post_per_layer_input_norm gate=per_layer_input_gate down=per_layer_projection\n"
    "  inter=SIDE stream=layer_scalar\n"
    "tie tie_word_embeddings//true\n",

    "model gemma4\n"
    "like gemma4_text\n"
    "config text_config\n"
    "tie absent\n"
    "root model.language_model\n"
    "carry model.vision_tower.* model.audio_tower.* model.embed_vision.* model.embed_audio.*\n",

    "model gemma3n_text\n"
    "blocked altup, laurel\n"
    "let ACT hidden_activation//'gelu_pytorch_tanh'\n"
    "let HEAD_DIM head_dim//256\n"
    "let REUSED i>=LAYERS-(num_kv_shared_layers//15)\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':(i+1)%5!=0\n"
    "let ROPE SLIDING?rope_parameters.sliding_attention:rope_parameters.full_attention//rope_scaling\n"
    "let SWA_THETA rope_parameters.sliding_attention.rope_theta|rope_local_base_freq//10000\n"
    "let FULL_THETA rope_parameters.full_attention.rope_theta|rope_theta//1e6\n"
    "embed .embed_tokens scale=sqrt(HIDDEN)\n"
    "head lm_head softcap=final_logit_softcapping\n"
    "tie tie_word_embeddings//true\n"
    "attn self_attn if=!REUSED pre=input_layernorm post=post_attention_layernorm causal q=q_proj+attention_bias\n"
    "  k=k_proj+attention_bias v=v_proj+attention_bias o=o_proj+attention_bias q_norm=q_norm k_norm=k_norm\n"
    "  scale_qk=1 window=SLIDING?sliding_window:null theta=SLIDING?SWA_THETA:FULL_THETA scaling=ROPE\n"
    "attn:reuse self_attn if=REUSED pre=input_layernorm post=post_attention_layernorm causal\n"
    "  q=q_proj+attention_bias o=o_proj+attention_bias q_norm=q_norm scale_qk=1 window=SLIDING?sliding_window:null\n"
    "  theta=SLIDING?SWA_THETA:FULL_THETA scaling=ROPE\n"
    "mlp mlp pre=pre_feedforward_layernorm post=post_feedforward_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "  inter=intermediate_size[i]//intermediate_size\n"
    "opaque - in=per_layer_input_gate out=per_layer_projection\n"
    "carry *.altup.* *.laurel.* *.post_per_layer_input_norm.* *.embed_tokens_per_layer.*\n"
    "  *.per_layer_model_projection.* *.per_layer_projection_norm.* *.altup_projections.*\n"
    "  *.altup_unembed_projections.* *.self_attn.k_* *.self_attn.v_*\n",

    "model gemma3n\n"
    "like gemma3n_text\n"
    "blocked altup, laurel\n"
    "config text_config\n"
    "tie absent\n"
    "root model.language_model\n"
    "carry model.vision_tower.* model.audio_tower.* model.embed_vision.* model.embed_audio.*\n",

    "model diffusion_gemma\n"
    "like gemma4_text\n"
    "blocked an encoder and a decoder of block diffusion\n"
    "config text_config\n"
    "tie absent\n"
    "embed model.decoder.embed_tokens scale=sqrt(HIDDEN)\n"
    "norm model.decoder.norm\n"
    "layers model.encoder.language_model.layers.#\n"
    "drop mlp:side\n"
    "let SIDE 0\n"
    "carry model.*\n",

    "model hrm_text\n"
    "blocked two stacks that run many times\n"
    "norm -\n"
    "embed .embed_tokens scale=embedding_scale//50\n"
    "norms rms\n"
    "let LAYERS num_layers_per_stack//num_hidden_layers\n"
    "layers .L_module.layers.#\n"
    "opaque attn in=gqkv_proj out=o_proj\n"
    "mlp mlp pre=- gate_up=gate_up_proj down=down_proj\n"
    "layers .H_module.layers.#\n"
    "opaque attn in=gqkv_proj out=o_proj\n"
    "mlp mlp pre=- gate_up=gate_up_proj down=down_proj\n"
    "carry model.z_L_init\n",

    "model ouro\n"
    "like llama\n"
    "blocked the layers run total_ut_steps times\n"
    "attn = q=q_proj k=k_proj v=v_proj o=o_proj post=input_layernorm_2\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj post=post_attention_layernorm_2\n"
    "carry model.early_exit_gate.*\n",

    "model brumby\n"
    "like qwen3\n"
    "blocked power retention in place of attention\n"
    "attn = gate=g_proj!\n",

    "model gpt_pangu\n"
    "blocked a query of learned positions in the last layer\n"
    "norms ln+\n"
    "root transformer\n"
    "embed .wte\n"
    "position .wpe\n"
    "layers .h.#\n"
    "norm .ln_f\n"
    "let EPS layer_norm_epsilon//1e-5\n"
    "let INTER n_inner|intermediate_size//4*HIDDEN\n"
    "attn attn pre=ln_1 causal q=q_proj+ k=k_proj+ v=v_proj+ o=c_proj+ rope='none'\n"
    "mlp mlp pre=ln_2 up=c_fc+ down=c_proj+ act=activation_function//'gelu'\n"
    "ignore *.attn.bias *.attn.masked_bias\n"
    "carry transformer.wqe.*\n",

    "model nemotron_h_puzzle\n"
    "like nemotron_h\n"
    "blocked experts of their own size in each layer\n"
    "root model backbone\n"
    "carry *.fc1_latent_proj.* *.fc2_latent_proj.* mtp.*\n",

    "model nemotronh_nano_omni_reasoning_v3 NemotronH_Nano_Omni_Reasoning_V3\n"
    "like nemotron_h\n"
    "config llm_config text_config\n"
    "tie absent\n"
    "root language_model.backbone language_model.model\n"
    "head language_model.lm_head\n"
    "carry vision_model.* mlp1.* sound_encoder.* sound_projection.* mtp.* language_model.mtp.*\n",

    "model nemotron_labs_diffusion\n"
    "like mistral\n"
    "blocked its attention is not known\n"
    "root encoder\n"
    "head diffusion_head\n",

    "model bailing_hybrid\n"
    "like deepseek_v3\n"
    "blocked kimi delta attention\n"
    "embed .word_embeddings\n"
    "let SPARSE mlp_layer_types?mlp_layer_types[i]=='sparse':i>=(first_k_dense_replace//2)\n"
    "let FULL layer_types?layer_types[i]=='full_attention':(i+1)%(layer_group_size//6)==0\n"
    "drop mla mlp moe\n"
    "opaque:kda attention if=!FULL in=q_proj,k_proj,v_proj out=o_proj|dense\n"
    "opaque:mla attention if=FULL in=q_proj,kv_a_proj_with_mqa mid=kv_b_proj out=dense\n"
    "mlp mlp if=!SPARSE pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "moe mlp if=SPARSE pre=post_attention_layernorm router=gate experts=num_experts\n"
    "  top_k=num_experts_per_token|num_experts_per_tok inter=moe_intermediate_size score='sigmoid'\n"
    "  choice_bias=gate.expert_bias groups=num_expert_group|n_group//1 top_groups=topk_group//1 group_score='top2'\n"
    "  renorm=moe_renormalize|norm_topk_prob//true routed_scale=routed_scaling_factor//1 e_gate=experts.#.gate_proj\n"
    "  e_up=experts.#.up_proj e_down=experts.#.down_proj s_gate=shared_experts.gate_proj\n"
    "  s_up=shared_experts.up_proj s_down=shared_experts.down_proj\n"
    "  s_inter=(num_shared_experts|n_shared_experts//1)*moe_intermediate_size\n"
    "carry *.attention.* *.input_layernorm.weight\n",

    "model solar_open2\n"
    "like solar_open\n"
    "blocked kimi delta attention\n"
    "drop attn moe\n"
    "opaque:full self_attn in=q_proj,k_proj,v_proj,g_proj out=o_proj\n"
    "mlp mlp if=i<(first_k_dense_replace//0) pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "moe mlp if=i>=(first_k_dense_replace//0) pre=post_attention_layernorm router=gate experts=n_routed_experts\n"
    "  top_k=num_experts_per_tok inter=moe_intermediate_size score='sigmoid'\n"
    "  choice_bias=gate.e_score_correction_bias groups=n_group//1 top_groups=topk_group//1 group_score='top2'\n"
    "  renorm=norm_topk_prob//true routed_scale=routed_scaling_factor//1 e_gate=experts.#.gate_proj\n"
    "  e_up=experts.#.up_proj e_down=experts.#.down_proj s_gate=shared_experts.gate_proj\n"
    "  s_up=shared_experts.up_proj s_down=shared_experts.down_proj\n"
    "  s_inter=(n_shared_experts//1)*moe_intermediate_size\n"
    "carry *.self_attn.* *.input_layernorm.*\n",

    "model axk2\n"
    "like deepseek_v32\n"
    "blocked gated norms, an output gate within q_b\n"
    "drop mla mlp moe\n"
    "opaque self_attn in=q_a_proj,kv_a_proj_with_mqa mid=q_b_proj mid2=kv_b_proj out=o_proj\n"
    "mlp mlp if=!SPARSE pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "moe mlp if=SPARSE router=gate experts=n_routed_experts top_k=num_experts_per_tok inter=moe_intermediate_size\n"
    "  score='sigmoid' choice_bias=gate.e_score_correction_bias groups=n_group//1 top_groups=topk_group//1\n"
    "  group_score='top2' renorm=norm_topk_prob//true routed_scale=routed_scaling_factor//1\n"
    "  e_gate=experts.#.gate_proj e_up=experts.#.up_proj e_down=experts.#.down_proj s_gate=shared_experts.gate_proj\n"
    "  s_up=shared_experts.up_proj s_down=shared_experts.down_proj\n"
    "  s_inter=(n_shared_experts//1)*moe_intermediate_size\n"
    "carry *.self_attn.* *.input_layernorm.* *.post_attention_layernorm.*\n",

    "model xing4_0\n"
    "like deepseek_v3\n"
    "blocked hyper-connections\n"
    "carry *.attn_hc.* *.ffn_hc.*\n",

    "model glm5_next\n"
    "like deepseek_v3\n"
    "blocked hyper-connections, kimi delta attention\n"
    "config text_config\n"
    "tie absent\n"
    "root model.language_model\n"
    "let SPARSE mlp_layer_types?mlp_layer_types[i]=='sparse':i>=(first_k_dense_replace//1)\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let LINEAR layer_types[i]=='linear_attention'\n"
    "drop mla mlp moe\n"
    "opaque:kda self_attn if=LINEAR in=q_proj,k_proj,v_proj out=o_proj\n"
    "opaque:mla self_attn if=!LINEAR in=q_a_proj,kv_a_proj_with_mqa mid=q_b_proj mid2=kv_b_proj out=o_proj\n"
    "mlp mlp if=!SPARSE pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "moe mlp if=SPARSE pre=post_attention_layernorm router=gate experts=n_routed_experts top_k=num_experts_per_tok\n"
    "  inter=moe_intermediate_size score='sigmoid' choice_bias=gate.e_score_correction_bias groups=n_group//1\n"
    "  top_groups=topk_group//1 group_score='top2' renorm=norm_topk_prob//true\n"
    "  routed_scale=routed_scaling_factor//1 e_gate=experts.#.gate_proj e_up=experts.#.up_proj\n"
    "  e_down=experts.#.down_proj s_gate=shared_experts.gate_proj s_up=shared_experts.up_proj\n"
    "  s_down=shared_experts.down_proj s_inter=(n_shared_experts//1)*moe_intermediate_size\n"
    "carry model.visual.* *.self_attn.* *.input_layernorm.* *.hc_* model.language_model.hc_head.*\n",

    "model qwen4_exp_text\n"
    "like qwen3_5_moe_text\n"
    "blocked hyper-connections, n-gram embeddings, indexed attention\n"
    "norm -\n"
    "let LINEAR layer_types[i]=='linear_attention'\n"
    "drop attn delta moe\n"
    "opaque:full self_attn if=!LINEAR in=q_proj,k_proj,v_proj out=o_proj\n"
    "opaque:delta linear_attn if=LINEAR in=in_proj_qkv,in_proj_z out=out_proj\n"
    "moe mlp router=gate experts=num_experts top_k=num_experts_per_tok inter=moe_intermediate_size score='softmax'\n"
    "  renorm=true e_gate=experts.#.gate_proj e_up=experts.#.up_proj e_down=experts.#.down_proj|experts.down_proj\n"
    "  e_gate_up=experts.gate_up_proj s_gate=shared_expert.gate_proj s_up=shared_expert.up_proj\n"
    "  s_down=shared_expert.down_proj s_inter=shared_expert_intermediate_size s_mix=shared_expert_gate\n"
    "carry *.self_attn.* *.linear_attn.* *.layers.*norm* *hyper_connection* *ngram_embedding* mtp.*\n",

    "model qwen4_exp\n"
    "like qwen4_exp_text\n"
    "blocked hyper-connections, n-gram embeddings, indexed attention\n"
    "config text_config\n"
    "tie absent\n"
    "root model.language_model\n"
    "carry model.visual.*\n",

    "model deepseek_v4\n"
    "blocked hyper-connections, compressed attention\n"
    "root -\n"
    "embed .embed\n"
    "norm .norm\n"
    "head head\n"
    "let INTER moe_intermediate_size\n"
    "opaque attn in=wq_a,wkv mid=wq_b mid2=wo_a! out=wo_b\n"
    "moe ffn pre=ffn_norm router=gate experts=n_routed_experts top_k=num_experts_per_tok\n"
    "  inter=moe_intermediate_size score='sqrtsoftplus' e_gate=experts.#.w1 e_up=experts.#.w3 e_down=experts.#.w2\n"
    "  s_gate=shared_experts.w1 s_up=shared_experts.w3 s_down=shared_experts.w2\n"
    "  s_inter=(n_shared_experts//1)*moe_intermediate_size\n"
    "carry layers.* hc_* mtp.*\n",

    "model inkling_mm_model\n"
    "blocked short convolutions in and after attention, relative positions\n"
    "config text_config\n"
    "tie absent\n"
    "root model.llm model.language_model\n"
    "embed .embed norm=embed_norm\n"
    "norm .norm\n"
    "head model.llm.unembed|lm_head\n"
    "let SPARSE i>=(first_k_dense_replace//0)\n"
    "opaque attn in=wq_du,wk_dv,wv_dv,wr_du out=wo_ud\n"
    "opaque:dense mlp if=!SPARSE in=w13_dn out=w2_md\n"
    "opaque:experts mlp if=SPARSE in=experts.w13_weight,shared_w13_weight out=experts.w2_weight,shared_w2_weight\n"
    "carry model.*\n",

    "model agnes\n"
    "like qwen3_5\n"
    "blocked delta attention and a second mlp beside the first\n"
    "drop attn delta mlp\n"
    "opaque:delta delta_attn in=in_proj_qkv,in_proj_z out=out_proj\n"
    "opaque:full global_attn in=q_proj,k_proj,v_proj out=o_proj\n"
    "mlp mlp pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "mlp:beside mlp.parallel_ffn pre=post_attention_layernorm beside gate=gate_proj up=up_proj down=down_proj\n"
    "carry model.* mtp.*\n",

    "model k2_horizon\n"
    "like qwen3_moe\n"
    "blocked values of routed experts\n"
    "attn = gate=gate_proj\n"
    "opaque self_attn in=v_experts.#\n"
    "moe = s_gate=shared_experts.gate_proj s_up=shared_experts.up_proj s_down=shared_experts.down_proj\n"
    "  s_inter=(n_shared_experts//1)*moe_intermediate_size\n"
    "carry *.self_attn.v_router.*\n",

    "model spark2_5\n"
    "like llama\n"
    "blocked a reference to compare with: its words are all here\n"
    "attn = -q -k -v qkv=q_k_v_proj o=out_proj gate=g_proj! gate_head\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj\n",

    "model ernie4_5_vl_moe ernie4_5_moe_vl\n"
    "# the vision experts have the numbers after those of text; the router is stored (in, out)\n"
    "like ernie4_5_moe\n"
    "config text_config\n"
    "tie absent\n"
    "root model model.language_model\n"
    "let LAST moe_layer_end_index[0]//moe_layer_end_index//-1\n"
    "let FIRST moe_layer_start_index[0]//moe_layer_start_index//1\n"
    "let SPARSE mlp_layer_types?mlp_layer_types[i]=='sparse':i>=FIRST&&i<=(LAST<0?LAYERS-1:LAST)\n"
    "moe = router=gate^ experts=moe_num_experts[0]//moe_num_experts\n"
    "  inter=moe_intermediate_size[0]//moe_intermediate_size\n"
    "  s_inter=(moe_num_shared_experts//0)*(moe_intermediate_size[0]//moe_intermediate_size)\n"
    "carry *.mlp.experts.* *.mlp.gate.weight_1 vision_model.* model.vision_model.* model.resampler_model.*\n"
    "  model.vision_tower.*\n",

    "model hymba\n"
    "blocked mamba and attention heads side by side in one module\n"
    "norm .final_layernorm\n"
    "opaque mamba in=in_proj out=out_proj\n"
    "mlp moe.experts.0 pre=post_attention_layernorm gate=gate_proj up=up_proj down=down_proj\n"
    "carry model.memory_tokens *.mamba.* *.input_layernorm.* *.pre_*\n",

    "model zamba\n"
    "blocked a shared block that reads the embedding again\n"
    "norm .final_layernorm\n"
    "tie tie_word_embeddings//true\n"
    "let EPS rms_norm_eps//1e-5\n"
    "let PERIODIC i==2||i>2&&(i-3)%(attn_layer_period//6)==(attn_layer_offset//4)\n"
    "let HYBRID layers_block_type?layers_block_type[i]=='hybrid':PERIODIC\n"
    "opaque mamba if=!HYBRID in=in_proj out=out_proj\n"
    "opaque:linear - if=HYBRID in=linear\n"
    "opaque:hybrid mamba_decoder.mamba if=HYBRID in=in_proj out=out_proj\n"
    "carry model.layers.*\n",

    "model zamba2\n"
    "like zamba\n"
    "blocked a shared block that reads the embedding again\n"
    "let HYBRID layers_block_type?layers_block_type[i]=='hybrid':has(hybrid_layer_ids,i)\n",

    "model jetmoe\n"
    "blocked experts in attention\n"
    "let EPS rms_norm_eps//1e-6\n"
    "tie tie_word_embeddings//true\n"
    "let ACT activation_function//'silu'\n"
    "opaque self_attention in=kv_proj,experts.input_linear out=experts.output_linear\n"
    "moe mlp pre=post_attention_layernorm router=router.layer experts=num_local_experts top_k=num_experts_per_tok\n"
    "  score='topk_softmax' e_gate_up=input_linear e_down=output_linear\n"
    "carry *.bias *.self_attention.experts.router.* *.input_layernorm.weight\n",

    "model recurrent_gemma\n"
    "blocked gated linear recurrence\n"
    "norms rms1\n"
    "norm .final_norm\n"
    "let ACT hidden_activation//'gelu_pytorch_tanh'\n"
    "let KIND (block_types//_block_types)[i%len(block_types//_block_types)]\n"
    "embed .embed_tokens scale=sqrt(HIDDEN)\n"
    "head lm_head softcap=logits_soft_cap//30\n"
    "tie tie_word_embeddings//true\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//0.5\n"
    "opaque temporal_block if=KIND=='recurrent' in=linear_x,linear_y out=linear_out\n"
    "attn temporal_block if=KIND=='attention' pre=temporal_pre_norm causal q=q_proj+attention_bias\n"
    "  k=k_proj+attention_bias v=v_proj+attention_bias o=o_proj+ window=attention_window_size\n"
    "mlp mlp_block pre=channel_pre_norm gate=gate_proj+ up=up_proj+ down=down_proj+ inter=intermediate_size/2\n"
    "carry *.temporal_block.* *.temporal_pre_norm.weight\n",

    "model rwkv\n"
    "blocked a recurrence of its own\n"
    "norms ln+\n"
    "root rwkv\n"
    "embed .embeddings\n"
    "layers .blocks.#\n"
    "norm .ln_out\n"
    "head head\n"
    "let EPS layer_norm_epsilon//1e-5\n"
    "opaque attention in=key,value,receptance out=output\n"
    "opaque:mlp feed_forward in=key,receptance out=value\n"
    "carry rwkv.blocks.*\n",

    "model mellum\n"
    "like qwen3_moe\n"
    "let PARTIAL rope_parameters.partial_rotary_factor|partial_rotary_factor//1\n"
    "let SPARSE mlp_layer_types?mlp_layer_types[i]=='sparse':true\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':false\n"
    "let ROPE SLIDING?rope_parameters.sliding_attention.rope_theta:rope_parameters.full_attention.rope_theta\n"
    "let HEAD_DIM head_dim//128\n"
    "attn = window=SLIDING?sliding_window//1024:null theta=ROPE//(SLIDING?10000:500000)\n"
    "  scaling=SLIDING?rope_parameters.sliding_attention:rope_parameters.full_attention\n"
    "moe = renorm=norm_topk_prob//true\n"
    "carry mtp.*\n",

    "model mistral4\n"
    "like deepseek_v3\n"
    "need given(rope_parameters)||given(rope_scaling)\n"
    "let SCORE_OK true\n"
    "let METHOD_OK true\n"
    "let ORIGINAL rope_parameters.original_max_position_embeddings|rope_scaling.original_max_position_embeddings\n"
    "let BETA rope_parameters.llama_4_scaling_beta|rope_scaling.llama_4_scaling_beta//0\n"
    "let THETA rope_parameters.rope_theta|rope_scaling.rope_theta|rope_theta//10000\n"
    "mla = temper=ORIGINAL//1,BETA,0\n"
    "mlp = gate=gate_proj up=up_proj down=down_proj\n"
    "moe = score='softmax' -choice_bias\n",

    "model granitemoe_swa\n"
    "like granite_swa\n"
    "let EPS rms_norm_eps//1e-6\n"
    "let SHARED shared_intermediate_size//0\n"
    "drop mlp\n"
    "moe - pre=post_attention_layernorm scale=residual_multiplier//1\n"
    "  router=block_sparse_moe.router|block_sparse_moe.router.layer experts=num_local_experts\n"
    "  top_k=num_experts_per_tok score='topk_softmax'\n"
    "  e_gate_up=block_sparse_moe.experts.gate_up_proj|block_sparse_moe.input_linear\n"
    "  e_down=block_sparse_moe.experts.down_proj|block_sparse_moe.output_linear\n"
    "  s_gate_up=shared_mlp.input_linear s_down=shared_mlp.output_linear s_inter=SHARED\n"
    "tie tie_word_embeddings//false\n",

    "model flint   # rope only in layers that slide\n"
    "like qwen3_moe\n"
    "let KV num_key_value_heads//4\n"
    "let HEAD_DIM head_dim//128\n"
    "let DENSE mlp_only_layers==null?i<2:has(mlp_only_layers,i)\n"
    "let SPARSE !DENSE&&(i+1)%(decoder_sparse_step//1)==0\n"
    "let SLIDING layer_types?layer_types[i]=='sliding_attention':i>=2&&i%4!=1&&i!=LAYERS-1\n"
    "attn = sinks=softmax_offset|sinks window=SLIDING?sliding_window//513:null rope=SLIDING?'half':'none'\n"
    "moe = score='sigmoid' renorm=norm_topk_prob//true s_gate=shared_expert.gate_proj s_up=shared_expert.up_proj\n"
    "  s_down=shared_expert.down_proj s_inter=shared_expert_intermediate_size//1024\n",

    "model minimax_m3_vl_text   # by the names of its class\n"
    "like minimax_m3_vl\n"
    "root model\n"
    "head lm_head\n"
    "mlp = -gate -up gate_up=gate_up_proj\n"
    "moe mlp if=SPARSE pre=post_attention_layernorm router=gate experts=num_local_experts top_k=num_experts_per_tok\n"
    "  score='sigmoid' choice_bias=gate.e_score_correction_bias renorm=true routed_scale=routed_scaling_factor//2\n"
    "  limit=swiglu_limit//7 e_gate_up=experts.gate_up_proj e_down=experts.down_proj\n"
    "  -e_gate -e_up -s_gate -s_up s_gate_up=shared_experts.gate_up_proj s_down=shared_experts.down_proj\n"
    "  s_inter=shared_intermediate_size\n",

    "model axk1\n"
    "like deepseek_v3\n"
    "let SPARSE\n"
    "  mlp_layer_types?mlp_layer_types[i]=='sparse':i>=(first_k_dense_replace//1)&&i%(moe_layer_freq//1)==0\n"
    "let METHOD_OK is(topk_method,null,'noaux_tc','none')\n"
    "moe = post=post_mlp_layernorm choice_bias=gate.e_score_correction_bias+(topk_method//'noaux_tc')=='noaux_tc'\n"
    "  s_inter=(n_shared_experts//1)*moe_intermediate_size\n"
    "ignore *.post_mlp_layernorm.weight\n",

    "model dual_stream_roformer\n"
    "config gpt_model\n"
    "norms ln\n"
    "root -\n"
    "let EPS eps//1e-6\n"
    "let HEADS n_head\n"
    "let LAYERS n_layer\n"
    "let VOCAB shape_model_vocab_size+3\n"
    "let THETA rope_theta//1000\n"
    "let BIAS bias//false\n"
    "let MORE i<n_layer-1\n"
    "let INTER 4*HIDDEN\n"
    "let ACT 'silu'\n"
    "need !(use_pooled_text_embed//false)\n"
    "embed transformer.wte\n"
    "input text_proj+BIAS width=text_model_embed_dim\n"
    "input bbox_proj+ width=3 if=use_bbox//false\n"
    "codebook shape_proj+ width=shape_model_embed_dim rows=shape_model_vocab_size\n"
    "layers transformer.dual_blocks.#\n"
    "attn:text - text if=MORE pre=- causal rope='inter' qk=attn.pre_c.c_qk v=attn.pre_c.c_v+BIAS\n"
    "  o=post_2.c_proj+BIAS\n"
    "  q_norm=attn.pre_c.q_norm:rms@1e-5 k_norm=attn.pre_c.k_norm:rms@1e-5\n"
    "attn:last - text if=!MORE pre=- causal rope='inter' k=attn.pre_c.c_k+BIAS v=attn.pre_c.c_v+BIAS\n"
    "  k_norm=attn.pre_c.k_norm:rms@1e-5\n"
    "attn - pre=- causal rope='inter' qk=attn.pre_x.c_qk v=attn.pre_x.c_v+BIAS o=post_1.c_proj+BIAS\n"
    "  q_norm=attn.pre_x.q_norm:rms@1e-5 k_norm=attn.pre_x.k_norm:rms@1e-5\n"
    "mlp post_1.mlp pre=- gate=gate_proj+BIAS up=up_proj+BIAS down=down_proj+BIAS\n"
    "mlp:text post_2.mlp text if=MORE pre=- gate=gate_proj+BIAS up=up_proj+BIAS down=down_proj+BIAS\n"
    "layers transformer.single_blocks.# count=n_single_layer\n"
    "attn:single attn own pre=- causal rope='inter' qk=c_qk v=c_v+BIAS o=c_proj+BIAS q_norm=q_norm:rms@1e-5\n"
    "  k_norm=k_norm:rms@1e-5\n"
    "mlp:single mlp pre=- gate=gate_proj+BIAS up=up_proj+BIAS down=down_proj+BIAS\n"
    "norm -:ln\n"
    "head lm_head\n"
    "tie false\n"};
#endif
/* [END OF DESCRIPTIONS] */

CQUANT_DEF const char *cq_arch_builtin(size_t index) {
#ifdef CQUANT_NO_ARCHS
    (void)index;
    return NULL;
#else
    return index < sizeof cq__archs / sizeof cq__archs[0] ? cq__archs[index] : NULL;
#endif
}

/* ---- the words ----
   Kinds of block that may have a word; embed, position and head have words too, so they count as blocks here. */
#define CQ__EMBED ((int)CQ_BLOCK_KINDS)
#define CQ__POSITION (CQ__EMBED + 1)
#define CQ__HEAD (CQ__EMBED + 2)
#define CQ__FINAL (CQ__EMBED + 3)
#define CQ__INPUT (CQ__EMBED + 4)
#define CQ__CODEBOOK (CQ__INPUT + CQ_MAX_INPUTS)
#define CQ__SIDE (CQ__CODEBOOK + 1)
#define CQ__KIND(k) (1u << (unsigned)(k))
#define CQ__ATTN CQ__KIND(CQ_BLOCK_ATTENTION)
#define CQ__MLA CQ__KIND(CQ_BLOCK_MLA)
#define CQ__MLP CQ__KIND(CQ_BLOCK_MLP)
#define CQ__MOE CQ__KIND(CQ_BLOCK_MOE)
#define CQ__MAMBA CQ__KIND(CQ_BLOCK_MAMBA)
#define CQ__MAMBA2 CQ__KIND(CQ_BLOCK_MAMBA2)
#define CQ__CONV CQ__KIND(CQ_BLOCK_CONV)
#define CQ__DELTA CQ__KIND(CQ_BLOCK_DELTA)
#define CQ__LIGHTNING CQ__KIND(CQ_BLOCK_LIGHTNING)
#define CQ__OPAQUE CQ__KIND(CQ_BLOCK_OPAQUE)
#define CQ__BLOCKS (CQ__KIND(CQ_BLOCK_KINDS) - 1u)
#define CQ__ATTNS (CQ__ATTN | CQ__MLA)
#define CQ__MIXERS (CQ__MAMBA | CQ__MAMBA2 | CQ__DELTA)

typedef enum cq__word_type { CQ__FLAG, CQ__EXPR, CQ__NORM, CQ__LINEAR, CQ__PARAM, CQ__NAMES } cq__word_type;

/* identifier, spelling, kinds of block, type, and of norms, linears and parameters their place in cq_block. The order
   is that in which a block is printed, and linears are listed. */
#define CQ__WORD_LIST(X)                                                                                               \
    X(PRE, "pre", CQ__BLOCKS, NORM, CQ_NORM_PRE)                                                                       \
    X(POST, "post", CQ__BLOCKS, NORM, CQ_NORM_POST)                                                                    \
    X(AFTER, "after", CQ__BLOCKS, NORM, CQ_NORM_AFTER)                                                                 \
    X(JOINT, "joint", CQ__BLOCKS, NORM, CQ_NORM_JOINT)                                                                 \
    X(IF, "if", CQ__BLOCKS | CQ__KIND(CQ__FINAL) | CQ__KIND(CQ__INPUT) | CQ__KIND(CQ__SIDE), EXPR, 0)                  \
    X(BESIDE, "beside", CQ__BLOCKS, FLAG, 0)                                                                           \
    X(SCALE, "scale", CQ__BLOCKS | CQ__KIND(CQ__EMBED) | CQ__KIND(CQ__HEAD) | CQ__KIND(CQ__SIDE), EXPR, 0)             \
    X(IN_SCALE, "in_scale", CQ__BLOCKS | CQ__KIND(CQ__SIDE), EXPR, 0)                                                  \
    X(KEEP, "keep", CQ__BLOCKS, EXPR, 0)                                                                               \
    X(LATE, "late", CQ__MOE, FLAG, 0)                                                                                  \
    X(STREAM, "stream", CQ__ATTN | CQ__MLP | CQ__MOE, PARAM, CQ_PARAM_STREAM)                                          \
    X(TEXT, "text", CQ__ATTN | CQ__MLP, FLAG, 0)                                                                       \
    X(OWN, "own", CQ__ATTN, FLAG, 0)                                                                                   \
    X(REUSE, "reuse", CQ__ATTN, EXPR, 0)                                                                               \
    X(SIDE_ROW, "side", CQ__MLP, FLAG, 0)                                                                              \
    X(Q, "q", CQ__ATTNS, LINEAR, CQ_ROLE_Q)                                                                            \
    X(QK, "qk", CQ__ATTN, LINEAR, CQ_ROLE_QK)                                                                          \
    X(QKV, "qkv", CQ__ATTN | CQ__DELTA | CQ__LIGHTNING, LINEAR, CQ_ROLE_QKV)                                           \
    X(K, "k", CQ__ATTN, LINEAR, CQ_ROLE_K)                                                                             \
    X(V, "v", CQ__ATTN, LINEAR, CQ_ROLE_V)                                                                             \
    X(KV, "kv", CQ__ATTN, LINEAR, CQ_ROLE_KV)                                                                          \
    X(QKVZ, "qkvz", CQ__DELTA, LINEAR, CQ_ROLE_QKVZ)                                                                   \
    X(BA, "ba", CQ__DELTA, LINEAR, CQ_ROLE_BA)                                                                         \
    X(Z, "z", CQ__DELTA, LINEAR, CQ_ROLE_Z)                                                                            \
    X(B, "b", CQ__DELTA, LINEAR, CQ_ROLE_B)                                                                            \
    X(A, "a", CQ__DELTA, LINEAR, CQ_ROLE_A)                                                                            \
    X(OUT_GATE, "gate", CQ__ATTN | CQ__LIGHTNING, LINEAR, CQ_ROLE_OUT_GATE)                                            \
    X(Q_A, "q_a", CQ__MLA, LINEAR, CQ_ROLE_Q_A)                                                                        \
    X(KV_A, "kv_a", CQ__MLA, LINEAR, CQ_ROLE_KV_A)                                                                     \
    X(Q_B, "q_b", CQ__MLA, LINEAR, CQ_ROLE_Q_B)                                                                        \
    X(KV_B, "kv_b", CQ__MLA, LINEAR, CQ_ROLE_KV_B)                                                                     \
    X(O, "o", CQ__ATTNS, LINEAR, CQ_ROLE_O)                                                                            \
    X(GATE, "gate", CQ__MLP, LINEAR, CQ_ROLE_GATE)                                                                     \
    X(UP, "up", CQ__MLP, LINEAR, CQ_ROLE_UP)                                                                           \
    X(GATE_UP, "gate_up", CQ__MLP, LINEAR, CQ_ROLE_GATE_UP)                                                            \
    X(DOWN, "down", CQ__MLP, LINEAR, CQ_ROLE_DOWN)                                                                     \
    X(ROUTER, "router", CQ__MOE, LINEAR, CQ_ROLE_ROUTER)                                                               \
    X(S_MIX, "s_mix", CQ__MOE, LINEAR, CQ_ROLE_SHARED_MIX)                                                             \
    X(MIX2, "mix2", CQ__MOE, LINEAR, CQ_ROLE_MIX2)                                                                     \
    X(E_IN, "e_in", CQ__MOE, LINEAR, CQ_ROLE_EXPERT_IN)                                                                \
    X(E_OUT, "e_out", CQ__MOE, LINEAR, CQ_ROLE_EXPERT_OUT)                                                             \
    X(S_GATE, "s_gate", CQ__MOE, LINEAR, CQ_ROLE_SHARED_GATE)                                                          \
    X(S_UP, "s_up", CQ__MOE, LINEAR, CQ_ROLE_SHARED_UP)                                                                \
    X(S_GATE_UP, "s_gate_up", CQ__MOE, LINEAR, CQ_ROLE_SHARED_GATE_UP)                                                 \
    X(E_GATE, "e_gate", CQ__MOE, LINEAR, CQ_ROLE_EXPERT_GATE)                                                          \
    X(E_UP, "e_up", CQ__MOE, LINEAR, CQ_ROLE_EXPERT_UP)                                                                \
    X(E_GATE_UP, "e_gate_up", CQ__MOE, LINEAR, CQ_ROLE_EXPERT_GATE_UP)                                                 \
    X(S_DOWN, "s_down", CQ__MOE, LINEAR, CQ_ROLE_SHARED_DOWN)                                                          \
    X(E_DOWN, "e_down", CQ__MOE, LINEAR, CQ_ROLE_EXPERT_DOWN)                                                          \
    X(IN, "in", CQ__MAMBA | CQ__MAMBA2 | CQ__CONV | CQ__KIND(CQ__EMBED) | CQ__KIND(CQ__SIDE), LINEAR, CQ_ROLE_IN)      \
    X(X_PROJ, "x", CQ__MAMBA, LINEAR, CQ_ROLE_X)                                                                       \
    X(DT, "dt", CQ__MAMBA, LINEAR, CQ_ROLE_DT)                                                                         \
    X(OUT, "out", CQ__MIXERS | CQ__CONV | CQ__LIGHTNING | CQ__KIND(CQ__HEAD), LINEAR, CQ_ROLE_OUT)                     \
    X(NAMES_IN, "in", CQ__OPAQUE, NAMES, CQ_ROLE_IN)                                                                   \
    X(NAMES_MID, "mid", CQ__OPAQUE, NAMES, CQ_ROLE_MID)                                                                \
    X(NAMES_MID2, "mid2", CQ__OPAQUE, NAMES, CQ_ROLE_MID2)                                                             \
    X(NAMES_OUT, "out", CQ__OPAQUE, NAMES, CQ_ROLE_OUT)                                                                \
    X(Q_NORM, "q_norm", CQ__ATTN, NORM, CQ_NORM_Q)                                                                     \
    X(K_NORM, "k_norm", CQ__ATTN, NORM, CQ_NORM_K)                                                                     \
    X(Q_A_NORM, "q_a_norm", CQ__MLA, NORM, CQ_NORM_Q)                                                                  \
    X(ROUTER_NORM, "router_norm", CQ__MOE, NORM, CQ_NORM_ROUTER)                                                       \
    X(KV_A_NORM, "kv_a_norm", CQ__MLA, NORM, CQ_NORM_K)                                                                \
    X(V_NORM, "v_norm", CQ__ATTN, NORM, CQ_NORM_V)                                                                     \
    X(SUB_NORM, "sub_norm", CQ__ATTN | CQ__MLP, NORM, CQ_NORM_SUB)                                                     \
    X(DT_NORM, "dt_norm", CQ__MAMBA, NORM, CQ_NORM_DT)                                                                 \
    X(B_NORM, "b_norm", CQ__MAMBA, NORM, CQ_NORM_B)                                                                    \
    X(C_NORM, "c_norm", CQ__MAMBA, NORM, CQ_NORM_C)                                                                    \
    X(NORM, "norm", CQ__MAMBA2 | CQ__DELTA | CQ__LIGHTNING | CQ__KIND(CQ__EMBED) | CQ__KIND(CQ__HEAD) |                \
      CQ__KIND(CQ__SIDE), NORM, CQ_NORM_GATED)                                                                         \
    X(SINKS, "sinks", CQ__ATTN, PARAM, CQ_PARAM_SINKS)                                                                 \
    X(CHOICE_BIAS, "choice_bias", CQ__MOE, PARAM, CQ_PARAM_CHOICE_BIAS)                                                \
    X(E_SCALE, "e_scale", CQ__MOE, PARAM, CQ_PARAM_EXPERT_SCALE)                                                       \
    X(ACT_P, "act_p", CQ__MLP, PARAM, CQ_PARAM_ACT_P)                                                                  \
    X(ACT_N, "act_n", CQ__MLP, PARAM, CQ_PARAM_ACT_N)                                                                  \
    X(CONVOLUTION, "conv", CQ__MIXERS | CQ__CONV, PARAM, CQ_PARAM_CONV)                                                \
    X(A_LOG, "a_log", CQ__MIXERS, PARAM, CQ_PARAM_A_LOG)                                                               \
    X(D, "d", CQ__MAMBA | CQ__MAMBA2, PARAM, CQ_PARAM_D)                                                               \
    X(DT_BIAS, "dt_bias", CQ__MAMBA2 | CQ__DELTA, PARAM, CQ_PARAM_DT_BIAS)                                             \
    X(CAUSAL, "causal", CQ__ATTNS, FLAG, 0)                                                                            \
    X(FULL, "full", CQ__ATTNS, FLAG, 0)                                                                                \
    X(LAYOUT, "layout", CQ__ATTN, EXPR, 0)                                                                             \
    X(Q_GATE, "q_gate", CQ__ATTN, FLAG, 0)                                                                             \
    X(GATE_HEAD, "gate_head", CQ__ATTN, FLAG, 0)                                                                       \
    X(GATE_ACT, "gate_act", CQ__ATTN, EXPR, 0)                                                                         \
    X(WINDOW, "window", CQ__ATTNS, EXPR, 0)                                                                            \
    X(CHUNK, "chunk", CQ__ATTN, EXPR, 0)                                                                               \
    X(BLOCK, "block", CQ__ATTN, EXPR, 0)                                                                               \
    X(HEADS, "heads", CQ__ATTNS | CQ__MAMBA2 | CQ__LIGHTNING, EXPR, 0)                                                 \
    X(KV_HEADS, "kv_heads", CQ__ATTN, EXPR, 0)                                                                         \
    X(HEAD_DIM, "head_dim", CQ__ATTN | CQ__MAMBA2 | CQ__LIGHTNING, EXPR, 0)                                            \
    X(V_DIM, "v_dim", CQ__ATTNS | CQ__DELTA, EXPR, 0)                                                                  \
    X(NOPE, "nope", CQ__MLA, EXPR, 0)                                                                                  \
    X(Q_RANK, "q_rank", CQ__MLA, EXPR, 0)                                                                              \
    X(KV_RANK, "kv_rank", CQ__MLA, EXPR, 0)                                                                            \
    X(Q_SCALE, "q_scale", CQ__MLA, EXPR, 0)                                                                            \
    X(KV_SCALE, "kv_scale", CQ__MLA, EXPR, 0)                                                                          \
    X(SCALE_QK, "scale_qk", CQ__ATTNS, EXPR, 0)                                                                        \
    X(SOFTCAP, "softcap", CQ__ATTNS | CQ__KIND(CQ__HEAD), EXPR, 0)                                                     \
    X(CLIP, "clip", CQ__ATTN, EXPR, 0)                                                                                 \
    X(ROPE, "rope", CQ__ATTNS, EXPR, 0)                                                                                \
    X(THETA, "theta", CQ__ATTNS, EXPR, 0)                                                                              \
    X(SCALING, "scaling", CQ__ATTNS, EXPR, 0)                                                                          \
    X(ROPE_DIM, "rope_dim", CQ__ATTNS, EXPR, 0)                                                                        \
    X(QK_NORM, "qk_norm", CQ__ATTN, EXPR, 0)                                                                           \
    X(QK_IF, "qk_if", CQ__ATTN, EXPR, 0)                                                                               \
    X(QK_LATE, "qk_late", CQ__ATTN, FLAG, 0)                                                                           \
    X(ALIBI, "alibi", CQ__ATTN, EXPR, 0)                                                                               \
    X(ALIBI_SCALE, "alibi_scale", CQ__ATTN, EXPR, 0)                                                                   \
    X(K_SCALE, "k_scale", CQ__ATTN, EXPR, 0)                                                                           \
    X(TEMPER, "temper", CQ__ATTNS, EXPR, 0)                                                                            \
    X(R3, "r3", CQ__ATTNS, EXPR, 0)                                                                                    \
    X(R4, "r4", CQ__MLP | CQ__MOE, EXPR, 0)                                                                            \
    X(INTER, "inter", CQ__MLP | CQ__MOE, EXPR, 0)                                                                      \
    X(ACT, "act", CQ__MLP | CQ__MOE | CQ__KIND(CQ__HEAD), EXPR, 0)                                                     \
    X(GATE_SCALE, "gate_scale", CQ__MLP, EXPR, 0)                                                                      \
    X(LIMIT, "limit", CQ__MLP | CQ__MOE, EXPR, 0)                                                                      \
    X(EXPERTS, "experts", CQ__MOE, EXPR, 0)                                                                            \
    X(TOP_K, "top_k", CQ__MOE, EXPR, 0)                                                                                \
    X(IDENTITY, "identity", CQ__MOE, EXPR, 0)                                                                          \
    X(LATENT, "latent", CQ__MOE, EXPR, 0)                                                                              \
    X(JITTER, "jitter", CQ__MOE, EXPR, 0)                                                                              \
    X(SCORE, "score", CQ__MOE, EXPR, 0)                                                                                \
    X(GROUPS, "groups", CQ__MOE | CQ__MAMBA2, EXPR, 0)                                                                 \
    X(TOP_GROUPS, "top_groups", CQ__MOE, EXPR, 0)                                                                      \
    X(GROUP_SCORE, "group_score", CQ__MOE, EXPR, 0)                                                                    \
    X(RENORM, "renorm", CQ__MOE, EXPR, 0)                                                                              \
    X(ROUTED_SCALE, "routed_scale", CQ__MOE, EXPR, 0)                                                                  \
    X(ROUTER_SCALE, "router_scale", CQ__MOE, EXPR, 0)                                                                  \
    X(SCORE_IN, "score_in", CQ__MOE, FLAG, 0)                                                                          \
    X(PAIRS, "e_pairs", CQ__MOE, FLAG, 0)                                                                              \
    X(S_INTER, "s_inter", CQ__MOE, EXPR, 0)                                                                            \
    X(STATE, "state", CQ__MAMBA | CQ__MAMBA2, EXPR, 0)                                                                 \
    X(KERNEL, "kernel", CQ__MIXERS | CQ__CONV, EXPR, 0)                                                                \
    X(INNER, "inner", CQ__MAMBA, EXPR, 0)                                                                              \
    X(RANK, "rank", CQ__MAMBA, EXPR, 0)                                                                                \
    X(DT_MIN, "dt_min", CQ__MAMBA2, EXPR, 0)                                                                           \
    X(DT_MAX, "dt_max", CQ__MAMBA2, EXPR, 0)                                                                           \
    X(NORM_FIRST, "norm_first", CQ__MAMBA2, EXPR, 0)                                                                   \
    X(MULTS, "mults", CQ__MAMBA2, EXPR, 0)                                                                             \
    X(K_HEADS, "k_heads", CQ__DELTA, EXPR, 0)                                                                          \
    X(V_HEADS, "v_heads", CQ__DELTA, EXPR, 0)                                                                          \
    X(K_DIM, "k_dim", CQ__DELTA, EXPR, 0)                                                                              \
    X(ROWS, "rows", CQ__KIND(CQ__EMBED) | CQ__KIND(CQ__HEAD) | CQ__KIND(CQ__CODEBOOK) | CQ__KIND(CQ__SIDE),            \
      EXPR, 0)                                                                                                         \
    X(WIDTH, "width", CQ__KIND(CQ__INPUT) | CQ__KIND(CQ__CODEBOOK) | CQ__KIND(CQ__SIDE), EXPR, 0)                      \
    X(SUM_SCALE, "sum_scale", CQ__KIND(CQ__SIDE), EXPR, 0)                                                             \
    X(OFFSET, "offset", CQ__KIND(CQ__POSITION), EXPR, 0)                                                               \
    X(STEPS, "steps", CQ__KIND(CQ__POSITION), EXPR, 0)                                                                 \
    X(DENSE, "dense", CQ__KIND(CQ__HEAD), LINEAR, CQ_ROLE_IN)                                                          \
    X(HEAD_BIAS, "bias", CQ__KIND(CQ__HEAD), EXPR, 0)                                                                  \
    X(NORMALIZE, "normalize", CQ__KIND(CQ__HEAD), EXPR, 0)

#define CQ__WORD_ENUM(id, text, kinds, type, place) CQ__W_##id,
#define CQ__WORD_ROW(id, text, kinds, type, place) {text, kinds, (uint8_t)CQ__##type, (uint8_t)(place)},
typedef enum cq__word_id { CQ__WORD_LIST(CQ__WORD_ENUM) CQ__WORDS } cq__word_id;
typedef struct cq__word_row {
    const char *text;
    uint32_t kinds;
    uint8_t type, place;
} cq__word_row;
static const cq__word_row cq__word_table[CQ__WORDS] = {CQ__WORD_LIST(CQ__WORD_ROW)};

static const char *const cq__kinds[CQ_BLOCK_KINDS] = {"attn",  "mla",   "mlp",       "moe",   "mamba", "mamba2",
                                                      "conv", "delta", "lightning", "opaque"};
CQUANT_DEF const char *cq_block_name(cq_block_kind kind) { return cq__kinds[kind]; }

/* ---- the linears ----
   Everything that is done to a linear follows from its row:
     group       linears of a block with one number share their input, and so one Hessian; groups run in order.
                 CQ__NO_GROUP: never quantised
     stream_in   reads the residual stream: the norm's gain folds into it, R1 applies on the input side
     stream_out  writes the residual stream: R1 applies on the output side
     values_out, values_in   its output has, or its input is, the values of attention heads, which R2 rotates */
#define CQ__NO_GROUP 9u
typedef struct cq__role_row {
    const char *name;
    uint8_t group;
    bool stream_in, stream_out, values_out, values_in;
} cq__role_row;
static const cq__role_row cq__roles[CQ_ROLE_COUNT] = {
    {"q", 0, true, false, false, false},
    {"k", 0, true, false, false, false},
    {"v", 0, true, false, true, false},
    {"qk", 0, true, false, false, false},
    {"kv", 0, true, false, true, false},
    {"qkv", 0, true, false, true, false},
    {"gate", 0, true, false, false, false},
    {"o", 1, false, true, false, true},
    {"q_a", 0, true, false, false, false},
    {"kv_a", 0, true, false, false, false},
    {"q_b", 1, false, false, false, false},
    {"kv_b", 2, false, false, true, false},
    {"gate", 0, true, false, false, false},
    {"up", 0, true, false, false, false},
    {"gate_up", 0, true, false, false, false},
    {"down", 1, false, true, false, false},
    {"router", CQ__NO_GROUP, true, false, false, false},
    {"s_mix", CQ__NO_GROUP, true, false, false, false},
    {"mix2", CQ__NO_GROUP, true, false, false, false},
    {"e_in", CQ__NO_GROUP, true, false, false, false},
    {"e_out", CQ__NO_GROUP, false, true, false, false},
    {"e_gate", 0, true, false, false, false},
    {"e_up", 0, true, false, false, false},
    {"e_gate_up", 0, true, false, false, false},
    {"e_down", 1, false, true, false, false},
    {"s_gate", 0, true, false, false, false},
    {"s_up", 0, true, false, false, false},
    {"s_gate_up", 0, true, false, false, false},
    {"s_down", 1, false, true, false, false},
    {"in", 0, true, false, false, false},
    {"x", 1, false, false, false, false},
    {"dt", 2, false, false, false, false},
    {"out", 3, false, true, false, false},
    {"qkvz", 0, true, false, false, false},
    {"ba", 0, true, false, false, false},
    {"z", 0, true, false, false, false},
    {"b", 0, true, false, false, false},
    {"a", 0, true, false, false, false},
    {"mid", 1, false, false, false, false},
    {"mid2", 2, false, false, false, false}};

CQUANT_DEF const char *cq_role_name(cq_role role) { return cq__roles[role].name; }

/* The group of a role in a kind of block: "o" comes third in latent attention and "out" second where nothing stands
   between. */
static size_t cq__role_group(cq_block_kind kind, cq_role role) {
    if (role == CQ_ROLE_O && kind == CQ_BLOCK_MLA) return 3;
    if (role == CQ_ROLE_OUT && kind != CQ_BLOCK_MAMBA && kind != CQ_BLOCK_OPAQUE) return 1;
    return cq__roles[role].group;
}

/* text appended to m->name, always leaving it zero-terminated; returns the new length */
static size_t cq__append(char *out, size_t size, size_t at, const char *p, size_t n) {
    for (size_t i = 0; i < n && at < size && size - at > 1; i++) out[at++] = p[i];
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

/* ---- the reader of descriptions ---- */
static bool cq__str_eq(cq_str s, const char *literal) {
    size_t n = cq__strlen(literal);
    return s.n == n && cq__equal(s.p, literal, n);
}
static bool cq__str_same(cq_str a, cq_str b) { return a.n == b.n && cq__equal(a.p, b.p, a.n); }
static cq_str cq__str(const char *p, size_t n) {
    cq_str s;
    s.p = p;
    s.n = n;
    return s;
}
static cq_str cq__lit(const char *p) { return cq__str(p, cq__strlen(p)); }

typedef struct cq__words {
    const char *text;
    size_t at, end;
} cq__words;
static bool cq__blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
/* Next word of the line, over comments and on to lines that begin with a space; n = 0 at its end. w->at then stands on
   the newline. */
static cq_str cq__word(cq__words *w) {
    for (;;) {
        size_t begin;
        while (w->at < w->end && cq__blank(w->text[w->at])) w->at++;
        begin = w->at;
        if (w->at < w->end && w->text[w->at] == '#' &&
            (w->at + 1 == w->end || cq__blank(w->text[w->at + 1]) || w->text[w->at + 1] == '\n'))
            while (w->at < w->end && w->text[w->at] != '\n') w->at++;
        else
            while (w->at < w->end && !cq__blank(w->text[w->at]) && w->text[w->at] != '\n') w->at++;
        if (w->at > begin && !(w->text[begin] == '#' && (begin + 1 == w->at || cq__blank(w->text[begin + 1]))))
            return cq__str(w->text + begin, w->at - begin);
        if (w->at + 1 < w->end && w->text[w->at] == '\n' && cq__blank(w->text[w->at + 1])) w->at++;
        else if (w->at == w->end || w->text[w->at] == '\n') return cq__str(w->text + w->at, 0);
    }
}
/* What is left of the line, over comments in its middle, if somebody puts them there. */
static cq_str cq__rest(cq__words *w) {
    cq__words probe = *w;
    cq_str first = cq__word(&probe), last = first;
    for (cq_str v = first; v.n; v = cq__word(&probe)) last = v;
    w->at = probe.at;
    return cq__str(first.p, (size_t)(last.p + last.n - first.p));
}
static bool cq__among(cq_str words, const char *p, size_t n) {
    cq__words w;
    w.text = words.p;
    w.at = 0;
    w.end = words.n;
    for (cq_str v = cq__word(&w); v.n; v = cq__word(&w))
        if (v.n == n && cq__equal(v.p, p, n)) return true;
    return false;
}

typedef struct cq__reader {
    cq_arch *arch;
    const char *text;
    cq_error *err;
} cq__reader;
static cq_status cq__arch_fail(const cq__reader *r, cq_str word, const char *what) {
    return cq_fail_at(r->err, CQ_ERR_FORMAT, what, word.p, word.n, (uint64_t)(word.p - r->text), INT64_MIN);
}

static void cq__forget_word(cq_arch *arch, size_t index) {
    for (size_t i = index; i + 1 < arch->words; i++) arch->word[i] = arch->word[i + 1];
    arch->words--;
}
static void cq__forget_words(cq_arch *arch, size_t block) {
    for (size_t i = arch->words; i-- > 0;)
        if (arch->word[i].block == block) cq__forget_word(arch, i);
}

/* One word of a block, FLAG, KEY=VALUE or -KEY. `seen`: words of this line, to find those that stand twice. */
static cq_status cq__arch_word(const cq__reader *r, size_t block, int kind, cq_str word, uint32_t *seen) {
    cq_arch *arch = r->arch;
    size_t eq = 0, id = 0;
    bool drop = word.n > 1 && word.p[0] == '-';
    if (drop) word = cq__str(word.p + 1, word.n - 1);
    while (eq < word.n && word.p[eq] != '=') eq++;
    cq_str key = cq__str(word.p, eq), value = cq__str(word.p + eq, 0);
    for (; id < CQ__WORDS; id++)
        if ((cq__word_table[id].kinds & CQ__KIND(kind)) && cq__str_eq(key, cq__word_table[id].text)) break;
    if (id == CQ__WORDS)
        return cq__arch_fail(r, key, "unknown word in this kind of block; see the list above the descriptions");
    if (eq < word.n) value = cq__str(word.p + eq + 1, word.n - eq - 1);
    if (drop && eq < word.n) return cq__arch_fail(r, word, "a word that is taken away has no value");
    if (!drop && (cq__word_table[id].type == CQ__FLAG) != (eq == word.n))
        return cq__arch_fail(r, word, eq == word.n ? "this word needs a value: KEY=VALUE" : "this word takes no value");
    if (!drop && cq__word_table[id].type != CQ__FLAG && !value.n)
        return cq__arch_fail(r, word, "a value must follow '='");
    if (seen[id / 32] >> id % 32 & 1u) return cq__arch_fail(r, word, "this word stands twice in the block");
    seen[id / 32] |= 1u << id % 32;
    for (size_t i = 0; i < arch->words; i++)
        if (arch->word[i].block == block && arch->word[i].key == id) {
            if (drop) cq__forget_word(arch, i);
            else arch->word[i].value = value;
            return CQ_OK;
        }
    if (drop) return cq__arch_fail(r, word, "the block has no such word to take away");
    if (arch->words == CQ_MAX_WORDS) return cq__arch_fail(r, word, "the description has too many words");
    arch->word[arch->words].block = (uint8_t)block;
    arch->word[arch->words].key = (uint8_t)id;
    arch->word[arch->words++].value = value;
    return CQ_OK;
}
static cq_status cq__arch_words(const cq__reader *r, size_t block, int kind, cq__words *w) {
    uint32_t seen[(CQ__WORDS + 31) / 32];
    cq__fill(seen, 0, sizeof seen);
    for (cq_str v = cq__word(w); v.n; v = cq__word(w)) {
        cq_status st = cq__arch_word(r, block, kind, v, seen);
        if (st) return st;
    }
    return CQ_OK;
}

/* words of the pseudo-blocks */
#define CQ__AT_EMBED CQ_MAX_BLOCKS
#define CQ__AT_POSITION (CQ_MAX_BLOCKS + 1)
#define CQ__AT_HEAD (CQ_MAX_BLOCKS + 2)
#define CQ__AT_FINAL (CQ_MAX_BLOCKS + 3)
#define CQ__AT_INPUT (CQ_MAX_BLOCKS + 4)
#define CQ__AT_CODEBOOK (CQ__AT_INPUT + CQ_MAX_INPUTS)
#define CQ__AT_SIDE (CQ__AT_CODEBOOK + 1)

/* The value of a word; n = 0: it is not there. A flag that is there has n = 1. */
static cq_str cq__find_word(const cq_arch *arch, size_t block, cq__word_id id) {
    for (size_t i = 0; i < arch->words; i++)
        if (arch->word[i].block == block && arch->word[i].key == (uint8_t)id)
            return cq__word_table[id].type == CQ__FLAG ? cq__lit("1") : arch->word[i].value;
    return cq__str(NULL, 0);
}
static bool cq__flag(const cq_arch *arch, size_t block, cq__word_id id) {
    return cq__find_word(arch, block, id).n != 0;
}

/* a statement that is a block: KIND[:LABEL] PREFIX words */
static cq_status cq__arch_block(const cq__reader *r, cq__words *w, cq_str word, cq_str kind, cq_str label) {
    cq_arch *arch = r->arch;
    cq_str prefix = cq__word(w);
    size_t k = 0, i = 0, list = arch->lists ? arch->lists - 1 : 0;
    while (!cq__str_eq(kind, cq__kinds[k])) k++;
    if (!prefix.n) return cq__arch_fail(r, word, "a block needs the path of its module ('-': none)");
    for (; i < arch->blocks; i++)
        if (arch->block[i].list == list && (size_t)arch->block[i].kind == k &&
            cq__str_same(arch->block[i].label, label))
            break;
    if (i == arch->blocks) {
        if (i == CQ_MAX_BLOCKS) return cq__arch_fail(r, word, "too many blocks in a layer");
        arch->block[i].kind = (cq_block_kind)k;
        arch->block[i].label = label;
        arch->block[i].list = (uint8_t)list;
        arch->block[i].prefix = cq__lit("-");
        arch->blocks++;
    }
    if (!cq__str_eq(prefix, "=")) arch->block[i].prefix = prefix;
    return cq__arch_words(r, i, (int)k, w);
}

static void cq__drop_block(cq_arch *arch, size_t block) {
    cq__forget_words(arch, block);
    for (size_t i = block; i + 1 < arch->blocks; i++) arch->block[i] = arch->block[i + 1];
    arch->blocks--;
    for (size_t i = 0; i < arch->words; i++)
        if (arch->word[i].block > block && arch->word[i].block < CQ_MAX_BLOCKS) arch->word[i].block--;
}
/* drop KIND[:LABEL] ... */
static cq_status cq__arch_drop(const cq__reader *r, cq__words *w, cq_str word) {
    cq_str v = cq__word(w);
    if (!v.n) return cq__arch_fail(r, word, "this statement needs a value");
    for (; v.n; v = cq__word(w)) {
        size_t i = 0, colon = 0;
        while (colon < v.n && v.p[colon] != ':') colon++;
        for (; i < r->arch->blocks; i++)
            if (cq__str_eq(cq__str(v.p, colon), cq__kinds[r->arch->block[i].kind]) &&
                (colon == v.n ? !r->arch->block[i].label.n
                              : cq__str_same(r->arch->block[i].label, cq__str(v.p + colon + 1, v.n - colon - 1))))
                break;
        if (i == r->arch->blocks) return cq__arch_fail(r, v, "there is no such block to drop");
        cq__drop_block(r->arch, i);
    }
    return CQ_OK;
}

static cq_status cq__arch_let(const cq__reader *r, cq__words *w, cq_str word) {
    cq_arch *arch = r->arch;
    cq_let *let = arch->let;
    cq_str name = cq__word(w), expr = cq__word(w);
    if (!name.n || !expr.n || name.p[0] < 'A' || name.p[0] > 'Z')
        return cq__arch_fail(r, word, "let NAME EXPR: a name in capital letters, and what it stands for");
    while (let < arch->let + arch->lets && !cq__str_same(let->name, name)) let++;
    if (let == arch->let + CQ_MAX_LETS) return cq__arch_fail(r, word, "the description has too many lets");
    if (let == arch->let + arch->lets) arch->lets++;
    let->name = name;
    let->expr = expr;
    return CQ_OK;
}

/* Statements whose value is the rest of the line. kind: of the pseudo-block whose words follow a path; -1: none.
   many: lines add up. */
typedef struct cq__statement {
    const char *name;
    size_t place; /* offset in cq_arch */
    size_t count; /* many: offset of their number */
    bool many;
    int kind;
} cq__statement;
static const cq__statement cq__statements[] = {
    {"config", offsetof(cq_arch, config), 0, false, -1},
    {"root", offsetof(cq_arch, root), 0, false, -1},
    {"norm", offsetof(cq_arch, norm), 0, false, CQ__FINAL},
    {"longest", offsetof(cq_arch, longest), 0, false, -1},
    {"norms", offsetof(cq_arch, norms), 0, false, -1},
    {"tie", offsetof(cq_arch, tie), 0, false, -1},
    {"blocked", offsetof(cq_arch, blocked), 0, false, -1},
    {"embed", offsetof(cq_arch, embed), 0, false, CQ__EMBED},
    {"position", offsetof(cq_arch, position), 0, false, CQ__POSITION},
    {"head", offsetof(cq_arch, head), 0, false, CQ__HEAD},
    {"input", offsetof(cq_arch, input), offsetof(cq_arch, inputs), true, CQ__INPUT},
    {"codebook", offsetof(cq_arch, codebook), 0, false, CQ__CODEBOOK},
    {"side", offsetof(cq_arch, side), 0, false, CQ__SIDE},
    {"need", offsetof(cq_arch, need), offsetof(cq_arch, needs), true, -1},
    {"ignore", offsetof(cq_arch, ignore), offsetof(cq_arch, ignores), true, -1},
    {"carry", offsetof(cq_arch, carry), offsetof(cq_arch, carries), true, -1}};

static cq_status cq__arch_statement(const cq__reader *r, cq__words *w, cq_str word, uint32_t *seen) {
    cq_arch *arch = r->arch;
    const size_t count = sizeof cq__statements / sizeof cq__statements[0];
    size_t i = 0;
    size_t number = 0;
    cq_str *to, value;
    while (i < count && !cq__str_eq(word, cq__statements[i].name)) i++;
    if (i == count) return cq__arch_fail(r, word, "unknown statement; see the list above the descriptions");
    const cq__statement *s = &cq__statements[i];
    to = (cq_str *)(void *)((char *)arch + s->place);
    if (s->many) {
        size_t *n = (size_t *)(void *)((char *)arch + s->count);
        if (*n == (s->kind < 0 ? CQ_MAX_LINES : CQ_MAX_INPUTS))
            return cq__arch_fail(r, word, "this statement stands too often");
        to += (*n)++;
        number = *n - 1;
    } else if (*seen >> i & 1u) {
        return cq__arch_fail(r, word, "this statement stands twice");
    }
    *seen |= 1u << i;
    value = s->kind < 0 ? cq__rest(w) : cq__word(w);
    if (!value.n) return cq__arch_fail(r, word, "this statement needs a value");
    *to = value;
    if (s->kind < 0) return CQ_OK;
    size_t block = (size_t)CQ_MAX_BLOCKS + (size_t)(s->kind - CQ__EMBED) + number;
    cq__forget_words(arch, block);
    return cq__arch_words(r, block, s->kind, w);
}

/* layers PATH [count=EXPR]. In a description that is `like` another, the first such statement replaces the path of the
   first list, and a count it names. */
static cq_status cq__arch_layers(const cq__reader *r, cq__words *w, cq_str word, size_t *lists) {
    cq_arch *arch = r->arch;
    cq_str path = cq__word(w), count = cq__word(w);
    bool number = false;
    if (*lists == CQ_MAX_LISTS) return cq__arch_fail(r, word, "a model has at most two lists of layers");
    cq_let *l = &arch->list[(*lists)++];
    if (!path.n) return cq__arch_fail(r, word, "this statement needs a value");
    for (size_t i = 0; i < path.n; i++) number = number || path.p[i] == '#';
    if (!number) return cq__arch_fail(r, path, "the path of the layers needs a # for their number");
    if (count.n && (count.n < 7 || !cq__equal(count.p, "count=", 6)))
        return cq__arch_fail(r, count, "only count=EXPR may follow the path of the layers");
    l->name = path;
    if (count.n) l->expr = cq__str(count.p + 6, count.n - 6);
    if (*lists > arch->lists) arch->lists = *lists;
    count = count.n ? cq__word(w) : count;
    return count.n ? cq__arch_fail(r, count, "one word too many") : CQ_OK;
}

static const char *cq__arch_text(const char *model_type, size_t len) {
    for (size_t i = 0; cq_arch_builtin(i); i++) {
        cq__words w;
        w.text = cq_arch_builtin(i);
        w.at = 0;
        w.end = cq__strlen(w.text);
        (void)cq__word(&w); /* model */
        if (cq__among(cq__rest(&w), model_type, len)) return cq_arch_builtin(i);
    }
    return NULL;
}

/* One text, on top of what *arch holds. depth: of descriptions that are `like` others. */
static cq_status cq__arch_read(cq_arch *arch, const char *text, size_t len, unsigned depth, cq_error *err) {
    cq__words w;
    cq__reader r;
    uint32_t seen = 0;
    size_t lists = 0;
    cq_status st = CQ_OK;
    cq_str names = cq__str(NULL, 0);
    bool like = false, first = true;
    r.arch = arch;
    r.text = text;
    r.err = err;
    w.text = text;
    w.end = len;
    for (w.at = 0; w.at < len && !st; w.at++) { /* a line a turn; w.at then stands on its newline */
        cq_str word = cq__word(&w), kind, label = cq__str(NULL, 0);
        size_t colon = 0, k = 0;
        if (!word.n) continue;
        while (colon < word.n && word.p[colon] != ':') colon++;
        kind = cq__str(word.p, colon);
        if (colon < word.n) label = cq__str(word.p + colon + 1, word.n - colon - 1);
        while (k < CQ_BLOCK_KINDS && !cq__str_eq(kind, cq__kinds[k])) k++;
        if (cq__str_eq(word, "model")) {
            if (names.n) return cq__arch_fail(&r, word, "this statement stands twice");
            names = cq__rest(&w);
            if (!names.n) return cq__arch_fail(&r, word, "this statement needs a value");
            continue;
        }
        if (cq__str_eq(word, "like")) {
            cq_str other = cq__word(&w);
            const char *base = other.n ? cq__arch_text(other.p, other.n) : NULL;
            if (!first) return cq__arch_fail(&r, word, "'like' comes right after 'model', once");
            if (!base) return cq__arch_fail(&r, other.n ? other : word, "there is no description of this name");
            if (depth == 8) return cq__arch_fail(&r, word, "descriptions that are like each other too deeply");
            if ((st = cq__arch_read(arch, base, cq__strlen(base), depth + 1, err)) != CQ_OK) return st;
            arch->blocked = cq__str(NULL, 0);
            like = true;
            first = false;
            if ((other = cq__word(&w)).n) return cq__arch_fail(&r, other, "one word too many");
            continue;
        }
        first = false;
        if (k < CQ_BLOCK_KINDS) {
            st = cq__arch_block(&r, &w, word, kind, label);
        } else if (cq__str_eq(word, "let")) {
            st = cq__arch_let(&r, &w, word);
        } else if (cq__str_eq(word, "layers")) {
            st = cq__arch_layers(&r, &w, word, &lists);
        } else if (cq__str_eq(word, "drop") && like) {
            st = cq__arch_drop(&r, &w, word);
        } else if (cq__str_eq(word, "diffusion")) {
            cq_str value = cq__word(&w);
            if (value.n && !cq__str_eq(value, "shift"))
                return cq__arch_fail(&r, value, "only 'shift' may follow 'diffusion'");
            arch->diffusion = true;
            arch->shift = value.n != 0;
        } else {
            st = cq__arch_statement(&r, &w, word, &seen);
        }
        if (!st) {
            cq_str more = cq__word(&w);
            if (more.n) st = cq__arch_fail(&r, more, "one word too many");
        }
    }
    if (names.n) arch->names = names;
    return st;
}

static cq_status cq__arch_check(const cq_arch *arch, size_t len, cq_error *err);

CQUANT_DEF cq_status cq_arch_parse(cq_arch *arch, const char *text, size_t len, cq_error *err) {
    cq__words w;
    cq_status st;
    cq__fill(arch, 0, sizeof *arch);
    st = cq__arch_read(arch, cq__prelude, cq__strlen(cq__prelude), 0, err);
    if (!st) st = cq__arch_read(arch, text, len, 0, err);
    if (st) return st;
    arch->text = cq__str(text, len);
    w.text = arch->names.p;
    w.at = 0;
    w.end = arch->names.n;
    if (arch->names.n) arch->name = cq__word(&w);
    return cq__arch_check(arch, len, err);
}

CQUANT_DEF cq_status cq_arch_find(cq_arch *arch, const char *model_type, size_t len, cq_error *err) {
    const char *text = cq__arch_text(model_type, len);
    cq_status st;
    if (!text)
        return cq_fail_at(err, CQ_ERR_UNSUPPORTED,
                          "no description of this model_type; cq_arch_builtin has those there are", model_type, len,
                          UINT64_MAX, INT64_MIN);
    st = cq_arch_parse(arch, text, cq__strlen(text), err);
    arch->name = cq__str(model_type, len);
    return st;
}

/* A linear's name without its marks: NAME[^][!][+BIAS] */
static cq_str cq__bare_name(cq_str v) {
    size_t n = 0;
    while (n < v.n && v.p[n] != '^' && v.p[n] != '!' && v.p[n] != '+' && v.p[n] != ':' && v.p[n] != '@') n++;
    return cq__str(v.p, n);
}

/* What every block must have, so that binding and running need not ask. */
static cq_status cq__arch_check(const cq_arch *arch, size_t len, cq_error *err) {
    if (!arch->names.n || !arch->blocks)
        return cq_fail_at(err, CQ_ERR_FORMAT, "a description needs model and at least one block", NULL, 0, len,
                          INT64_MIN);
    if (arch->blocked.n) return CQ_OK; /* its blocks may need words that there are not */
    for (size_t i = 0; i < arch->blocks; i++) {
        cq_block_kind kind = arch->block[i].kind;
        const char *lacks = NULL;
#define CQ__HAS(id) (cq__find_word(arch, i, CQ__W_##id).n != 0)
        switch (kind) {
        case CQ_BLOCK_ATTENTION:
            if (CQ__HAS(REUSE)) {
                if (CQ__HAS(QK) || CQ__HAS(QKV) || CQ__HAS(K) || CQ__HAS(V) || CQ__HAS(KV) || CQ__HAS(K_NORM) ||
                    CQ__HAS(V_NORM) || CQ__HAS(K_SCALE) || CQ__HAS(TEXT) || CQ__HAS(OWN))
                    lacks = "reuse without keys and values of its own";
                else if (!CQ__HAS(Q) || !CQ__HAS(O)) lacks = "q, o";
                else if (CQ__HAS(CAUSAL) == CQ__HAS(FULL)) lacks = "causal or full";
            } else if (!CQ__HAS(QKV) && !(CQ__HAS(KV) && CQ__HAS(Q)) && !(CQ__HAS(QK) && CQ__HAS(V)) &&
                !CQ__HAS(K))
                lacks = "q, k, v";
            else if (!CQ__HAS(O) && (CQ__HAS(Q) || CQ__HAS(QK) || CQ__HAS(QKV))) lacks = "o";
            else if (CQ__HAS(CAUSAL) == CQ__HAS(FULL)) lacks = "causal or full";
            break;
        case CQ_BLOCK_MLA:
            if (!CQ__HAS(Q) && !(CQ__HAS(Q_A) && CQ__HAS(Q_B))) lacks = "q";
            else if (!CQ__HAS(KV_A) || !CQ__HAS(KV_B)) lacks = "kv_a, kv_b";
            else if (!CQ__HAS(O)) lacks = "o";
            else if (CQ__HAS(CAUSAL) == CQ__HAS(FULL)) lacks = "causal or full";
            break;
        case CQ_BLOCK_MLP:
            if (CQ__HAS(SIDE_ROW) ? CQ__HAS(UP) || CQ__HAS(GATE_UP) || !CQ__HAS(GATE) || !arch->side.n
                                  : !CQ__HAS(UP) && !CQ__HAS(GATE_UP))
                lacks = CQ__HAS(SIDE_ROW) ? "gate, no up, and a statement 'side'" : "up";
            else if (!CQ__HAS(DOWN)) lacks = "down";
            break;
        case CQ_BLOCK_MOE:
            if (!CQ__HAS(ROUTER)) lacks = "router";
            else if (!CQ__HAS(EXPERTS) || !CQ__HAS(TOP_K)) lacks = "experts, top_k";
            else if (!CQ__HAS(E_UP) && !CQ__HAS(E_GATE_UP)) lacks = "e_up";
            else if (!CQ__HAS(E_DOWN)) lacks = "e_down";
            break;
        case CQ_BLOCK_MAMBA:
            if (!CQ__HAS(IN) || !CQ__HAS(X_PROJ) || !CQ__HAS(DT) || !CQ__HAS(OUT)) lacks = "in, x, dt, out";
            else if (!CQ__HAS(CONVOLUTION) || !CQ__HAS(A_LOG) || !CQ__HAS(D)) lacks = "conv, a_log, d";
            break;
        case CQ_BLOCK_MAMBA2:
            if (!CQ__HAS(IN) || !CQ__HAS(OUT)) lacks = "in, out";
            else if (!CQ__HAS(CONVOLUTION) || !CQ__HAS(A_LOG) || !CQ__HAS(D) || !CQ__HAS(DT_BIAS))
                lacks = "conv, a_log, d, dt_bias";
            break;
        case CQ_BLOCK_CONV:
            if (!CQ__HAS(IN) || !CQ__HAS(CONVOLUTION) || !CQ__HAS(OUT)) lacks = "in, conv, out";
            break;
        case CQ_BLOCK_DELTA:
            if (!(CQ__HAS(QKVZ) && CQ__HAS(BA)) && !(CQ__HAS(QKV) && CQ__HAS(Z) && CQ__HAS(B) && CQ__HAS(A)))
                lacks = "qkvz, ba";
            else if (!CQ__HAS(CONVOLUTION) || !CQ__HAS(A_LOG) || !CQ__HAS(DT_BIAS) || !CQ__HAS(NORM) || !CQ__HAS(OUT))
                lacks = "conv, a_log, dt_bias, norm, out";
            break;
        case CQ_BLOCK_LIGHTNING:
            if (!CQ__HAS(QKV) || !CQ__HAS(OUT_GATE) || !CQ__HAS(NORM) || !CQ__HAS(OUT)) lacks = "qkv, gate, norm, out";
            break;
        case CQ_BLOCK_OPAQUE:
            lacks = "a statement 'blocked' (nothing says how it runs)";
            break;
        case CQ_BLOCK_KINDS: break;
        }
#undef CQ__HAS
        if (lacks)
            return cq_fail_at(err, CQ_ERR_FORMAT, "a block lacks what its kind needs", lacks, cq__strlen(lacks),
                              len, INT64_MIN);
    }
    return CQ_OK;
}

typedef struct cq__printer {
    char *out;
    size_t size, at;
} cq__printer;
static void cq__print(cq__printer *p, cq_str s) {
    for (size_t i = 0; i < s.n; i++, p->at++)
        if (p->at < p->size) p->out[p->at] = s.p[i];
}
/* a value of several words, which may have stood on several lines, with comments */
static void cq__print_line(cq__printer *p, cq_str line) {
    cq__words w;
    w.text = line.p;
    w.at = 0;
    w.end = line.n;
    for (cq_str v = cq__word(&w); v.n; v = cq__word(&w)) {
        cq__print(p, cq__lit(" "));
        cq__print(p, v);
    }
}
static void cq__print_words(cq__printer *p, const cq_arch *arch, size_t block, const cq_rotation *online) {
    char number[24];
    for (size_t i = 0; i < arch->words; i++) {
        const cq__word_row *row = &cq__word_table[arch->word[i].key];
        if (arch->word[i].block != block) continue;
        if (online && (arch->word[i].key == CQ__W_R3 || arch->word[i].key == CQ__W_R4)) continue; /* it was 0 */
        cq__print(p, cq__lit(" "));
        cq__print(p, cq__lit(row->text));
        if (row->type == CQ__FLAG) continue;
        cq__print(p, cq__lit("="));
        cq__print(p, arch->word[i].value);
    }
    if (!online) return;
    cq__print(p, cq__lit(arch->block[block].kind <= CQ_BLOCK_MLA ? " r3=" : " r4="));
    cq__print(p, cq__str(number, cq__append_number(number, sizeof number, 0, online->n)));
}
static void cq__print_blocks(cq__printer *p, const cq_arch *arch, const cq_rotate_plan *plan, size_t list) {
    for (size_t i = 0; i < arch->blocks; i++) {
        const cq_block_desc *d = &arch->block[i];
        if (d->list != list) continue;
        cq__print(p, cq__lit(cq__kinds[d->kind]));
        if (d->label.n) cq__print(p, cq__lit(":"));
        cq__print(p, d->label);
        cq__print(p, cq__lit(" "));
        cq__print(p, d->prefix);
        cq__print_words(p, arch, i, plan && plan->online_at[i] ? &plan->online[plan->online_at[i] - 1] : NULL);
        cq__print(p, cq__lit("\n"));
    }
}
static size_t cq__arch_print(const cq_arch *arch, const cq_rotate_plan *plan, char *out, size_t size) {
    cq__printer p;
    p.out = out;
    p.size = size;
    p.at = 0;
    cq__print(&p, cq__lit("model"));
    cq__print_line(&p, arch->names);
    cq__print(&p, cq__lit("\n"));
    for (size_t i = 0; i < sizeof cq__statements / sizeof cq__statements[0]; i++) {
        const cq__statement *s = &cq__statements[i];
        const cq_str *v = (const cq_str *)(const void *)((const char *)arch + s->place);
        size_t n = s->many ? *(const size_t *)(const void *)((const char *)arch + s->count) : v->n != 0;
        bool both = cq__str_eq(cq__lit(s->name), "ignore") || cq__str_eq(cq__lit(s->name), "need");
        size_t known = both ? 1 : 0; /* the first of these stands in the prelude */
        for (size_t k = known; k < n; k++) {
            cq__print(&p, cq__lit(s->name));
            cq__print_line(&p, v[k]);
            if (s->kind >= 0)
                cq__print_words(&p, arch, (size_t)CQ_MAX_BLOCKS + (size_t)(s->kind - CQ__EMBED) + k, NULL);
            cq__print(&p, cq__lit("\n"));
        }
    }
    for (size_t i = 0; i < arch->lets; i++) {
        cq__print(&p, cq__lit("let "));
        cq__print(&p, arch->let[i].name);
        cq__print(&p, cq__lit(" "));
        cq__print(&p, arch->let[i].expr);
        cq__print(&p, cq__lit("\n"));
    }
    for (size_t i = 0; i < arch->lists; i++) {
        cq__print(&p, cq__lit("layers "));
        cq__print(&p, arch->list[i].name);
        if (arch->list[i].expr.n) cq__print(&p, cq__lit(" count="));
        cq__print(&p, arch->list[i].expr);
        cq__print(&p, cq__lit("\n"));
        cq__print_blocks(&p, arch, plan, i);
    }
    if (arch->diffusion) cq__print(&p, cq__lit(arch->shift ? "diffusion shift\n" : "diffusion\n"));
    return p.at;
}
CQUANT_DEF size_t cq_arch_print(const cq_arch *arch, char *out, size_t size) {
    return cq__arch_print(arch, NULL, out, size);
}
CQUANT_DEF size_t cq_rotate_print(const cq_model *m, const cq_rotate_plan *plan, char *out, size_t size) {
    return cq__arch_print(&m->arch, plan, out, size);
}

CQUANT_DEF bool cq_arch_linear(const cq_arch *arch, size_t block, size_t group, size_t index, char *out, size_t size) {
    const cq_block_desc *d = &arch->block[block];
    for (size_t id = 0; id < CQ__WORDS; id++) {
        const cq__word_row *row = &cq__word_table[id];
        cq_str v = cq__find_word(arch, block, (cq__word_id)id);
        if (!v.n || (row->type != CQ__LINEAR && row->type != CQ__NAMES)) continue;
        if (cq__role_group(d->kind, (cq_role)row->place) != group) continue;
        /* a description that has experts both ways names them one by one */
        if (id == CQ__W_E_GATE_UP && cq__find_word(arch, block, CQ__W_E_UP).n) continue;
        for (size_t from = 0; from < v.n;) { /* NAMES are divided by commas */
            size_t to = from, at = 0;
            while (to < v.n && !(row->type == CQ__NAMES && v.p[to] == ',')) to++;
            cq_str name = cq__str(v.p + from, to - from), bare = cq__bare_name(name);
            bool kept = false;
            for (size_t i = bare.n; i < name.n; i++) kept = kept || name.p[i] == '!';
            from = to + 1;
            if (kept || index-- != 0) continue;
            for (size_t i = 0; i < bare.n; i++) /* of alternatives the first */
                if (bare.p[i] == '|') bare.n = i;
            out[0] = 0;
            if (!cq__str_eq(d->prefix, "-")) {
                at = cq__append(out, size, at, d->prefix.p, d->prefix.n);
                at = cq__append(out, size, at, ".", 1);
            }
            (void)cq__append(out, size, at, bare.p, bare.n);
            return true;
        }
    }
    return false;
}

/* ---- expressions ----
   The numbers of a model come from config.json through expressions like hidden_size/num_attention_heads or
   (i+1)%decoder_sparse_step==0. Values are exact integers where they can be, else fp32. One function a level of
   precedence, from ?: down to a name; what a condition leaves out is read over (skip) and not evaluated. */
typedef enum cq__type { CQ__NONE, CQ__BOOL, CQ__INT, CQ__FLOAT, CQ__STR, CQ__NODE } cq__type;
typedef struct cq__value {
    cq__type type;
    int64_t i; /* CQ__INT, CQ__BOOL */
    float f;   /* CQ__INT, CQ__FLOAT */
    cq_str s;
    uint32_t node;
} cq__value;
typedef struct cq__eval {
    const cq_model *m;
    int64_t layer; /* -1: no layer */
    cq_str src;
    size_t at;
    unsigned skip, depth, steps;
    cq_str key; /* the key of config.json read last: the one to blame */
    uint64_t where;
    cq_error *err;
    cq_status st;
} cq__eval;

static cq__value cq__none(void) {
    cq__value v;
    cq__fill(&v, 0, sizeof v);
    return v;
}
static cq__value cq__of_int(int64_t i) {
    cq__value v = cq__none();
    v.type = CQ__INT;
    v.i = i;
    v.f = (float)i;
    return v;
}
static cq__value cq__of_float(float f) {
    cq__value v = cq__none();
    v.type = CQ__FLOAT;
    v.f = f;
    return v;
}
static cq__value cq__of_bool(bool b) {
    cq__value v = cq__of_int(b);
    v.type = CQ__BOOL;
    return v;
}
static bool cq__is_number(cq__value v) { return v.type == CQ__INT || v.type == CQ__FLOAT; }
static bool cq__truth(cq__value v) {
    switch (v.type) {
    case CQ__NONE: return false;
    case CQ__FLOAT: return v.f > 0.0f || v.f < 0.0f;
    case CQ__STR: return v.s.n != 0;
    case CQ__NODE: return true;
    default: return v.i != 0;
    }
}

/* Only the first failure counts. Blames the key of config.json if there is one, else the expression. */
static cq__value cq__eval_fail(cq__eval *e, cq_status st, const char *what) {
    cq_str name = e->key.n ? e->key : e->src;
    if (!e->st && !e->skip) e->st = cq_fail_at(e->err, st, what, name.p, name.n, e->where, INT64_MIN);
    return cq__none();
}
static cq__value cq__eval_syntax(cq__eval *e, const char *what) {
    e->key = cq__str(NULL, 0);
    e->where = UINT64_MAX;
    e->skip = 0;
    return cq__eval_fail(e, CQ_ERR_FORMAT, what);
}

static bool cq__peek(const cq__eval *e, const char *token) {
    size_t n = cq__strlen(token);
    return e->src.n - e->at >= n && cq__equal(e->src.p + e->at, token, n);
}
static bool cq__take(cq__eval *e, const char *token) {
    if (!cq__peek(e, token)) return false;
    e->at += cq__strlen(token);
    return true;
}
static char cq__here(const cq__eval *e) { return e->at < e->src.n ? e->src.p[e->at] : (char)0; }
static bool cq__letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool cq__digit(char c) { return c >= '0' && c <= '9'; }

/* what a node of config.json is worth */
static cq__value cq__of_node(cq__eval *e, uint32_t node) {
    const cq_json *c = &e->m->config;
    cq__value v = cq__none();
    bool b = false;
    if (!node || cq_json_is_null(c, node)) return v;
    e->where = c->nodes[node].begin;
    switch (cq_json_kind(c, node)) {
    case CQ_JSON_NUMBER:
        if (cq_json_int(c, node, &v.i)) return cq__of_int(v.i);
        v.type = CQ__FLOAT;
        (void)cq_json_float(c, node, &v.f);
        return v;
    case CQ_JSON_STRING:
        v.type = CQ__STR;
        v.s = cq__str(c->text + c->nodes[node].begin, c->nodes[node].end - c->nodes[node].begin);
        return v;
    case CQ_JSON_TRUE:
    case CQ_JSON_FALSE:
        (void)cq_json_bool(c, node, &b);
        return cq__of_bool(b);
    default: break;
    }
    uint32_t special = cq_json_kind(c, node) == CQ_JSON_OBJECT ? cq_json_find(c, node, "__float__") : 0;
    if (special) { /* {"__float__": "Infinity"}: how transformers 5 writes what JSON has no number for */
        if (cq_json_string_eq(c, special, "Infinity")) return cq__of_float(CQ__INFINITY);
        if (cq_json_string_eq(c, special, "-Infinity")) return cq__of_float(-CQ__INFINITY);
    }
    v.type = CQ__NODE;
    v.node = node;
    return v;
}

/* a.b.c from one object on; 0: not there */
static uint32_t cq__key_in(const cq_json *c, uint32_t object, cq_str path) {
    uint32_t node = object;
    for (size_t from = 0; from <= path.n;) {
        size_t to = from;
        while (to < path.n && path.p[to] != '.') to++;
        if (cq_json_kind(c, node) != CQ_JSON_OBJECT) return 0;
        node = cq_json_find_n(c, node, path.p + from, to - from);
        if (!node) return 0;
        from = to + 1;
    }
    return node;
}
static uint32_t cq__key(const cq_model *m, cq_str path) {
    uint32_t node = m->text_config ? cq__key_in(&m->config, m->text_config, path) : 0;
    return node ? node : cq__key_in(&m->config, 0, path);
}

static bool cq__same(cq__value a, cq__value b) {
    if (a.type == CQ__NONE || b.type == CQ__NONE) return a.type == b.type;
    if (a.type == CQ__STR || b.type == CQ__STR) return a.type == b.type && cq__str_same(a.s, b.s);
    if (a.type == CQ__NODE || b.type == CQ__NODE) return a.type == b.type && a.node == b.node;
    if (a.type != CQ__FLOAT && b.type != CQ__FLOAT) return a.i == b.i;
    return (a.type == CQ__FLOAT ? a.f : (float)a.i) == (b.type == CQ__FLOAT ? b.f : (float)b.i);
}

static cq__value cq__eval_binary(cq__eval *e, int level);
static cq__value cq__eval_expr(cq__eval *e);

/* key|key|...: the first that is there; all that are there must agree */
static cq__value cq__eval_keys(cq__eval *e) {
    cq__value v = cq__none();
    bool first = true; /* a key that is missing is named as it is called first */
    for (;; first = false) {
        size_t begin = e->at;
        while (cq__letter(cq__here(e)) || cq__digit(cq__here(e)) || cq__here(e) == '.') e->at++;
        cq_str path = cq__str(e->src.p + begin, e->at - begin);
        if (!path.n) return cq__eval_syntax(e, "a key of config.json should stand here");
        if (!e->skip) {
            uint32_t node = cq__key(e->m, path);
            cq__value next;
            if (v.type == CQ__NONE && (first || node)) {
                e->key = path;
                e->where = UINT64_MAX;
            }
            next = cq__of_node(e, node);
            if (v.type == CQ__NONE) v = next;
            else if (next.type != CQ__NONE && next.type != CQ__NODE && !cq__same(v, next)) {
                e->key = path;
                return cq__eval_fail(e, CQ_ERR_FORMAT,
                                     "two keys of config.json mean the same and contradict each other");
            }
        }
        if (cq__here(e) != '|' || cq__peek(e, "||")) return v;
        e->at++;
    }
}

static cq__value cq__eval_let(cq__eval *e) {
    const cq_arch *arch = &e->m->arch;
    size_t begin = e->at;
    cq__value v;
    cq_str src = e->src;
    while (cq__letter(cq__here(e)) || cq__digit(cq__here(e))) e->at++;
    cq_str name = cq__str(e->src.p + begin, e->at - begin);
    if (e->skip) return cq__none();
    for (size_t i = 0; i < arch->lets; i++)
        if (cq__str_same(arch->let[i].name, name)) {
            size_t at = e->at;
            if (e->depth >= 24) return cq__eval_syntax(e, "an expression is nested too deeply, or names itself");
            e->src = arch->let[i].expr;
            e->at = 0;
            e->depth++;
            v = cq__eval_expr(e);
            if (e->at < e->src.n && !e->st) (void)cq__eval_syntax(e, "an expression goes on where it should end");
            e->depth--;
            e->src = src;
            e->at = at;
            return v;
        }
    return cq__eval_syntax(e, "an expression names a let that there is not");
}

static cq__value cq__eval_number(cq__eval *e) {
    cq__decimal d;
    size_t begin = e->at;
    int64_t i;
    while (cq__digit(cq__here(e))) e->at++;
    bool whole = true;
    if (cq__here(e) == '.' && e->at + 1 < e->src.n && cq__digit(e->src.p[e->at + 1])) {
        whole = false;
        e->at++;
        while (cq__digit(cq__here(e))) e->at++;
    }
    if (cq__here(e) == 'e' && e->at + 1 < e->src.n &&
        (cq__digit(e->src.p[e->at + 1]) || (e->src.p[e->at + 1] == '-' && e->at + 2 < e->src.n))) {
        whole = false;
        e->at += 2;
        while (cq__digit(cq__here(e))) e->at++;
    }
    cq__decimal_read(&d, e->src.p + begin, e->at - begin);
    if (whole && cq__decimal_int(&d, &i)) return cq__of_int(i);
    return cq__of_float(cq__float(cq__decimal_float_bits(&d)));
}

/* list[i], string[i], or what an object has under the number i; of anything else null */
static cq__value cq__eval_index(cq__eval *e, cq__value list, cq__value index) {
    const cq_json *c = &e->m->config;
    if (e->skip || list.type == CQ__NONE) return cq__none();
    if (list.type != CQ__STR && list.type != CQ__NODE) return cq__none();
    if (index.type != CQ__INT || index.i < 0) return cq__eval_fail(e, CQ_ERR_FORMAT, "an index should be a number");
    if (list.type == CQ__STR) {
        if ((uint64_t)index.i >= list.s.n)
            return cq__eval_fail(e, CQ_ERR_FORMAT, "key of config.json has fewer entries than there are layers");
        list.s = cq__str(list.s.p + index.i, 1);
        return list;
    }
    if (cq_json_kind(c, list.node) == CQ_JSON_OBJECT) {
        char key[24];
        size_t n = cq__append_number(key, sizeof key, 0, (size_t)index.i);
        return cq__of_node(e, cq_json_find_n(c, list.node, key, n));
    }
    uint32_t node = cq_json_child(c, list.node);
    for (int64_t i = 0; node && i < index.i; i++) node = cq_json_next(c, node);
    if (!node) return cq__eval_fail(e, CQ_ERR_FORMAT, "key of config.json has fewer entries than there are layers");
    return cq__of_node(e, node);
}

static float cq__as_float(cq__eval *e, cq__value v) {
    if (v.type == CQ__NONE) (void)cq__eval_fail(e, CQ_ERR_MISSING, "config.json lacks a key");
    else if (!cq__is_number(v)) (void)cq__eval_fail(e, CQ_ERR_FORMAT, "key of config.json should be a number");
    return v.type == CQ__INT ? (float)v.i : v.f;
}

static bool cq__contains(cq__eval *e, cq__value list, cq__value x) {
    const cq_json *c = &e->m->config;
    if (list.type != CQ__NODE || cq_json_kind(c, list.node) != CQ_JSON_ARRAY) return false;
    for (uint32_t n = cq_json_child(c, list.node); n; n = cq_json_next(c, n))
        if (cq__same(cq__of_node(e, n), x)) return true;
    return false;
}

static cq__value cq__eval_call(cq__eval *e, cq_str name) {
    cq__value a, b = cq__none();
    bool first = true, found = false;
    size_t count = 0;
    if (cq__str_eq(name, "given")) { /* looks at the key itself */
        size_t begin = e->at;
        while (cq__here(e) && cq__here(e) != ')') e->at++;
        cq_str path = cq__str(e->src.p + begin, e->at - begin);
        if (!cq__take(e, ")")) return cq__eval_syntax(e, "a ) is missing");
        if (e->skip) return cq__none();
        e->key = path;
        e->where = UINT64_MAX;
        return cq__of_bool(cq__key(e->m, path) != 0);
    }
    a = cq__eval_expr(e);
    while (cq__take(e, ",")) {
        cq__value next = cq__eval_expr(e);
        if (first) b = next;
        first = false;
        found = found || (!e->skip && cq__same(a, next));
        count++;
    }
    if (!cq__take(e, ")")) return cq__eval_syntax(e, "a ) is missing");
    if (e->skip || e->st) return cq__none();
    if (cq__str_eq(name, "is") && count) return cq__of_bool(found);
    if (cq__str_eq(name, "has") && count == 1) return cq__of_bool(cq__contains(e, a, b));
    if (cq__str_eq(name, "len") && !count) {
        if (a.type == CQ__STR) return cq__of_int((int64_t)a.s.n);
        if (a.type == CQ__NODE) return cq__of_int((int64_t)e->m->config.nodes[a.node].count);
        return cq__none();
    }
    float x = cq__as_float(e, a), y = count == 1 ? cq__as_float(e, b) : 0.0f;
    if (count == 1 && (cq__str_eq(name, "min") || cq__str_eq(name, "max")))
        return (x < y) == (name.p[1] == 'i') ? a : b;
    if (count) return cq__eval_syntax(e, "there is no such function of so many arguments");
    if (cq__str_eq(name, "sqrt")) return cq__of_float(cq_sqrtf(x));
    if (cq__str_eq(name, "log")) return cq__of_float(cq_logf(x));
    if (cq__str_eq(name, "exp")) return cq__of_float(cq_expf(x));
    if (cq__str_eq(name, "int") || cq__str_eq(name, "floor") || cq__str_eq(name, "ceil")) {
        if (a.type == CQ__INT) return a;
        if (!(x > -1e9f && x < 1e9f)) return cq__eval_fail(e, CQ_ERR_RANGE, "a number is out of range");
        int64_t i = (int64_t)x;
        if (name.p[0] == 'c' && (float)i < x) i++;
        if (name.p[0] == 'f' && (float)i > x) i--;
        return cq__of_int(i);
    }
    return cq__eval_syntax(e, "there is no such function");
}

static cq__value cq__eval_primary(cq__eval *e) {
    cq__value v = cq__none();
    char c = cq__here(e);
    if (++e->steps > 20000) return cq__eval_syntax(e, "an expression takes too long"); /* lets that name lets, often */
    if (e->depth >= 24) return cq__eval_syntax(e, "an expression is nested too deeply, or names itself");
    if (cq__take(e, "(")) {
        e->depth++;
        v = cq__eval_expr(e);
        e->depth--;
        if (!cq__take(e, ")")) return cq__eval_syntax(e, "a ) is missing");
    } else if (c == '\'') {
        size_t begin = ++e->at;
        while (cq__here(e) && cq__here(e) != '\'') e->at++;
        v.type = CQ__STR;
        v.s = cq__str(e->src.p + begin, e->at - begin);
        if (!cq__take(e, "'")) return cq__eval_syntax(e, "a ' is missing");
    } else if (cq__digit(c)) {
        v = cq__eval_number(e);
    } else if (c >= 'A' && c <= 'Z') {
        v = cq__eval_let(e);
    } else if (cq__letter(c)) {
        size_t begin = e->at, end = begin;
        while (end < e->src.n && (cq__letter(e->src.p[end]) || cq__digit(e->src.p[end]))) end++;
        cq_str name = cq__str(e->src.p + begin, end - begin);
        bool or_key = end + 1 < e->src.n && e->src.p[end] == '|' && e->src.p[end + 1] != '|';
        bool plain = end == e->src.n || (e->src.p[end] != '.' && !or_key);
        if (end < e->src.n && e->src.p[end] == '(') {
            e->at = end + 1;
            e->depth++;
            v = cq__eval_call(e, name);
            e->depth--;
        } else if (plain && cq__str_eq(name, "true")) {
            v = cq__of_bool(true);
            e->at = end;
        } else if (plain && cq__str_eq(name, "false")) {
            v = cq__of_bool(false);
            e->at = end;
        } else if (plain && cq__str_eq(name, "null")) {
            e->at = end;
        } else if (plain && cq__str_eq(name, "i")) {
            if (e->layer < 0) return cq__eval_syntax(e, "i, the number of the layer, has no value here");
            v = cq__of_int(e->layer);
            e->at = end;
        } else {
            v = cq__eval_keys(e);
        }
    } else {
        return cq__eval_syntax(e, "an expression has no value where one should stand");
    }
    while (cq__here(e) == '[' || cq__here(e) == '.') {
        cq_str key = e->key;
        uint64_t where = e->where;
        if (cq__take(e, ".")) {
            size_t begin = e->at;
            while (cq__letter(cq__here(e)) || cq__digit(cq__here(e))) e->at++;
            key = cq__str(e->src.p + begin, e->at - begin);
            if (!key.n) return cq__eval_syntax(e, "a key of config.json should stand here");
            if (e->skip) continue;
            if (v.type == CQ__NODE) v = cq__of_node(e, cq__key_in(&e->m->config, v.node, key));
            else if (v.type != CQ__NONE) return cq__eval_fail(e, CQ_ERR_FORMAT, "only an object has keys");
            e->key = key;
            continue;
        }
        e->at++;
        e->depth++;
        cq__value index = cq__eval_expr(e);
        e->depth--;
        if (!cq__take(e, "]")) return cq__eval_syntax(e, "a ] is missing");
        e->key = key;
        e->where = where;
        v = cq__eval_index(e, v, index);
    }
    return v;
}

static cq__value cq__eval_unary(cq__eval *e);
static cq__value cq__eval_deeper(cq__eval *e) {
    if (e->depth >= 24) return cq__eval_syntax(e, "an expression is nested too deeply, or names itself");
    e->depth++;
    cq__value v = cq__eval_unary(e);
    e->depth--;
    return v;
}
static cq__value cq__eval_unary(cq__eval *e) {
    if (cq__here(e) == '!' && !cq__peek(e, "!=")) {
        e->at++;
        return cq__of_bool(!cq__truth(cq__eval_deeper(e)));
    }
    if (cq__take(e, "-")) {
        cq__value v = cq__eval_deeper(e);
        if (e->skip) return cq__none();
        if (v.type == CQ__INT && v.i > INT64_MIN) return cq__of_int(-v.i);
        return cq__of_float(-cq__as_float(e, v));
    }
    cq__value v = cq__eval_primary(e);
    if (cq__take(e, "^")) {
        cq__value p = cq__eval_deeper(e);
        if (e->skip) return cq__none();
        float x = cq__as_float(e, v), y = cq__as_float(e, p);
        if (!(x > 0.0f)) return cq__eval_fail(e, CQ_ERR_RANGE, "only positive numbers have powers here");
        return cq__of_float(cq_powf(x, y));
    }
    return v;
}

static cq__value cq__arithmetic(cq__eval *e, char op, cq__value a, cq__value b) {
    if (e->skip) return cq__none();
    float x = cq__as_float(e, a), y = cq__as_float(e, b);
    if (e->st) return cq__none();
    bool ints = a.type == CQ__INT && b.type == CQ__INT;
    /* the integers of a model are small; what is not goes the way of floats */
    ints = ints && a.i > -((int64_t)1 << 31) && a.i < ((int64_t)1 << 31) && b.i > -((int64_t)1 << 31) &&
           b.i < ((int64_t)1 << 31);
    switch (op) {
    case '+': return ints ? cq__of_int(a.i + b.i) : cq__of_float(x + y);
    case '-': return ints ? cq__of_int(a.i - b.i) : cq__of_float(x - y);
    case '*': return ints ? cq__of_int(a.i * b.i) : cq__of_float(x * y);
    case '/':
        if (!(y > 0.0f || y < 0.0f)) return cq__eval_fail(e, CQ_ERR_RANGE, "key of config.json should not be zero");
        return ints && a.i % b.i == 0 ? cq__of_int(a.i / b.i) : cq__of_float(x / y);
    default: /* % */
        if (!ints || b.i <= 0) return cq__eval_fail(e, CQ_ERR_RANGE, "key of config.json should be a positive integer");
        return cq__of_int((a.i % b.i + b.i) % b.i);
    }
}

/* levels, from the loosest: 0 ||  1 &&  2 comparison  3 //  4 + -  5 * / %; all from the left */
static cq__value cq__eval_binary(cq__eval *e, int level) {
    static const char *const compare[] = {"==", "!=", "<=", ">=", "<", ">"};
    cq__value a;
    if (level == 6) return cq__eval_unary(e);
    a = cq__eval_binary(e, level + 1);
    for (;;) {
        if (level == 0 && cq__take(e, "||")) {
            bool t = !e->skip && cq__truth(a);
            e->skip += t;
            cq__value b = cq__eval_binary(e, level + 1);
            e->skip -= t;
            a = cq__of_bool(t || cq__truth(b));
        } else if (level == 1 && cq__take(e, "&&")) {
            bool f = !e->skip && !cq__truth(a);
            e->skip += f;
            cq__value b = cq__eval_binary(e, level + 1);
            e->skip -= f;
            a = cq__of_bool(!f && cq__truth(b));
        } else if (level == 2) {
            size_t k = 0;
            while (k < 6 && !cq__take(e, compare[k])) k++;
            if (k == 6) return a;
            cq__value b = cq__eval_binary(e, level + 1);
            if (e->skip) continue;
            if (k < 2) {
                a = cq__of_bool(cq__same(a, b) == (k == 0));
            } else {
                float x = cq__as_float(e, a), y = cq__as_float(e, b);
                a = cq__of_bool(k == 2 ? x <= y : k == 3 ? x >= y : k == 4 ? x < y : x > y);
            }
        } else if (level == 3 && cq__take(e, "//")) {
            bool have = a.type != CQ__NONE;
            e->skip += have;
            cq__value b = cq__eval_binary(e, level + 1);
            e->skip -= have;
            if (!have) a = b;
        } else if (level == 4 && (cq__here(e) == '+' || cq__here(e) == '-')) {
            char op = e->src.p[e->at++];
            a = cq__arithmetic(e, op, a, cq__eval_binary(e, level + 1));
        } else if (level == 5 &&
                   (cq__here(e) == '*' || cq__here(e) == '%' || (cq__here(e) == '/' && !cq__peek(e, "//")))) {
            char op = e->src.p[e->at++];
            a = cq__arithmetic(e, op, a, cq__eval_binary(e, level + 1));
        } else {
            return a;
        }
        if (e->st) return cq__none();
    }
}

static cq__value cq__eval_expr(cq__eval *e) {
    cq__value c = cq__eval_binary(e, 0), a, b;
    if (cq__here(e) != '?') return c;
    e->at++;
    bool t = !e->skip && cq__truth(c);
    e->depth++;
    e->skip += !t;
    a = e->depth >= 24 ? cq__eval_syntax(e, "an expression is nested too deeply, or names itself") : cq__eval_expr(e);
    e->skip -= e->skip && !t;
    if (!e->st && !cq__take(e, ":")) a = cq__eval_syntax(e, "a : is missing");
    e->skip += t;
    b = e->st ? cq__none() : cq__eval_expr(e);
    e->skip -= e->skip && t;
    e->depth--;
    return t ? a : b;
}

static cq__value cq__evaluate(const cq_model *m, cq_str expr, int64_t layer, cq_str *key, cq_error *err,
                              cq_status *st) {
    cq__eval e;
    cq__value v;
    cq__fill(&e, 0, sizeof e);
    e.m = m;
    e.layer = layer;
    e.src = expr;
    e.err = err;
    e.where = UINT64_MAX;
    v = cq__eval_expr(&e);
    if (!e.st && e.at < expr.n) (void)cq__eval_syntax(&e, "an expression goes on where it should end");
    if (!e.st && v.type == CQ__FLOAT && v.f != v.f)
        v = cq__eval_fail(&e, CQ_ERR_FORMAT, "key of config.json should be a finite number");
    *st = e.st;
    if (key) *key = e.key.n ? e.key : expr;
    return v;
}

/* A whole number in [min, max]; absent (null): *out stays and *found is false. found NULL: it must be there. */
static cq_status cq__eval_size(const cq_model *m, cq_str expr, int64_t layer, size_t min, size_t max, bool *found,
                               size_t *out, cq_error *err) {
    cq_status st;
    cq_str key;
    cq__value v = cq__evaluate(m, expr, layer, &key, err, &st);
    if (st) return st;
    if (found) *found = v.type != CQ__NONE;
    if (v.type == CQ__NONE) {
        if (found) return CQ_OK;
        return cq_fail_at(err, CQ_ERR_MISSING, "config.json lacks a key", key.p, key.n, UINT64_MAX, INT64_MIN);
    }
    if (v.type == CQ__FLOAT && v.f >= 0.0f && v.f < 1e9f && (float)(int64_t)v.f == v.f) v = cq__of_int((int64_t)v.f);
    if (v.type != CQ__INT)
        return cq_fail_at(err, CQ_ERR_FORMAT, "key of config.json should be an integer", key.p, key.n, UINT64_MAX,
                          INT64_MIN);
    if (v.i < 0 || (uint64_t)v.i < min || (uint64_t)v.i > max)
        return cq_fail_at(err, CQ_ERR_RANGE, "key of config.json is out of range", key.p, key.n, UINT64_MAX, v.i);
    *out = (size_t)v.i;
    return CQ_OK;
}
/* absent: *out stays */
static cq_status cq__eval_real(const cq_model *m, cq_str expr, int64_t layer, float *out, cq_error *err) {
    cq_status st;
    cq_str key;
    cq__value v = cq__evaluate(m, expr, layer, &key, err, &st);
    if (st || v.type == CQ__NONE) return st;
    if (!cq__is_number(v) || !(v.f - v.f == 0.0f))
        return cq_fail_at(err, CQ_ERR_FORMAT, "key of config.json should be a finite number", key.p, key.n, UINT64_MAX,
                          INT64_MIN);
    *out = v.f;
    return CQ_OK;
}
/* absent: false */
static cq_status cq__eval_bool(const cq_model *m, cq_str expr, int64_t layer, bool *out, cq_error *err) {
    cq_status st;
    cq_str key;
    cq__value v = cq__evaluate(m, expr, layer, &key, err, &st);
    if (st) return st;
    if (v.type == CQ__STR)
        return cq_fail_at(err, CQ_ERR_FORMAT, "key of config.json should be true or false", key.p, key.n, UINT64_MAX,
                          INT64_MIN);
    *out = cq__truth(v);
    return CQ_OK;
}
/* One of a list of words, ended by NULL; its number. what: of the error that names any other word. */
static cq_status cq__eval_choice(const cq_model *m, cq_str expr, int64_t layer, const char *const *words,
                                 const char *what, size_t *out, cq_error *err) {
    cq_status st;
    cq_str key;
    cq__value v = cq__evaluate(m, expr, layer, &key, err, &st);
    if (st || v.type == CQ__NONE) return st;
    for (size_t i = 0; words[i]; i++)
        if (v.type == CQ__STR && cq__str_eq(v.s, words[i])) {
            *out = i;
            return CQ_OK;
        }
    if (v.type == CQ__STR) key = v.s;
    return cq_fail_at(err, CQ_ERR_UNSUPPORTED, what, key.p, key.n, UINT64_MAX, INT64_MIN);
}

/* ===================================================================================================================
   [LESSON 5 binding]  description + config.json + tensors
   First the numbers, word by word, each checked where it is read; then the tensors, each with the shape that the
   numbers give; at the end nothing of the file may be left over.
   ================================================================================================================== */
typedef struct cq__binder {
    cq_model *m;
    const cq_weights *weights;
    unsigned char *used; /* (weights->count) */
    cq_arena *arena;
    cq_error *err;
    size_t name_len; /* of m->name, the tensor looked for last */
    size_t linears;  /* that all blocks to come may have */
} cq__binder;

/* As many linears as a model may have: a tensor of three dimensions has one for each expert, one of two dimensions may
   have several in its rows: 16 on the average of all tensors. */
static size_t cq__linear_bound(const cq_weights *weights) {
    size_t n = 16 * weights->count;
    for (size_t i = 0; i < weights->count; i++) {
        uint64_t experts = weights->list[i].shape[0], bytes = weights->list[i].bytes;
        if (weights->list[i].ndim == 3) n += (size_t)(experts < bytes ? experts : bytes);
    }
    return n;
}

static cq_status cq__bind_fail(const cq__binder *b, cq_status status, const char *what, int64_t got) {
    return cq_fail_at(b->err, status, what, b->m->name, b->name_len, UINT64_MAX, got);
}

/* A path of the description: '.' at its front stands for the root, '#' for a number. */
static size_t cq__append_path(char *out, size_t size, size_t at, const cq_model *m, cq_str path, size_t number) {
    size_t i = 0;
    if (path.n && path.p[0] == '.') {
        if (cq__str_eq(m->root, "-")) i = 1;
        else at = cq__append(out, size, at, m->root.p, m->root.n);
    }
    for (; i < path.n; i++)
        at = path.p[i] == '#' ? cq__append_number(out, size, at, number) : cq__append(out, size, at, path.p + i, 1);
    return at;
}
/* LIST.PREFIX.NAME of a block; with `inside` false LIST.NAME. expert: for '#' in the name; where the name has none
   (one tensor for all experts), `apart` appends it. */
static size_t cq__block_path(const cq_model *m, const cq_block *b, bool inside, cq_str name, size_t expert, bool apart,
                             char *out, size_t size) {
    const cq_block_desc *d = &m->arch.block[b->desc];
    size_t at = 0;
    bool numbered = false;
    out[0] = 0;
    at = cq__append_path(out, size, at, m, m->arch.list[b->list].name, b->layer);
    if (inside && !cq__str_eq(d->prefix, "-")) {
        at = cq__append(out, size, at, ".", 1);
        at = cq__append(out, size, at, d->prefix.p, d->prefix.n);
    }
    at = cq__append(out, size, at, ".", 1);
    for (size_t i = 0; i < name.n; i++) {
        numbered = numbered || name.p[i] == '#';
        if (name.p[i] == '#') at = cq__append_number(out, size, at, expert);
        else at = cq__append(out, size, at, name.p + i, 1);
    }
    if (apart && !numbered) at = cq__append_number(out, size, cq__append(out, size, at, ".", 1), expert);
    return at;
}
static bool cq__is_expert(cq_role role) { return role >= CQ_ROLE_EXPERT_GATE && role <= CQ_ROLE_EXPERT_DOWN; }

CQUANT_DEF size_t cq_module_name(const cq_model *m, const cq_block *b, const cq_linear *l, char *out, size_t size) {
    return cq__block_path(m, b, true, l->name, l->expert, cq__is_expert(l->role), out, size);
}
CQUANT_DEF size_t cq_head_name(const cq_model *m, char *out, size_t size) {
    out[0] = 0;
    return cq__append_path(out, size, 0, m, m->head.name, 0);
}

CQUANT_DEF const cq_linear *cq_block_linear(const cq_block *b, cq_role role, size_t expert) {
    return b->at[role] ? &b->lin[b->at[role] - 1u + expert] : NULL;
}
static bool cq__in_group(const cq_block *b, const cq_linear *l, size_t group) {
    return cq__role_group(b->kind, l->role) == group && !l->keep;
}
CQUANT_DEF const cq_linear *cq_block_group(const cq_block *b, size_t group, size_t index) {
    for (size_t i = 0; i < b->linears; i++)
        if (cq__in_group(b, &b->lin[i], group) && index-- == 0) return &b->lin[i];
    return NULL;
}

static bool cq__same_layer(const cq_model *m, size_t a, size_t b) { /* the blocks a and b; no block is past the last */
    return a < m->block_count && b < m->block_count && m->blocks[a].list == m->blocks[b].list &&
           m->blocks[a].layer == m->blocks[b].layer;
}

/* Blocks beside each other that read the stream through one norm have one input: the first of them is calibrated for all
   (parallel attention and MLP, as GPT-J, Falcon and Phi have them). Experts see rows of their own, and what recurrent
   blocks read is their own too. Returns the block whose Hessian serves b's group: b, or the first such block. */
static const cq_block *cq__calibrated(const cq_block *b, size_t group) {
    const cq_norm *pre = &b->norm[CQ_NORM_PRE];
    const cq_block *found = b;
    if (group || b->kind > CQ_BLOCK_MLP || !cq_block_group(b, 0, 0)) return b;
    for (const cq_block *o = b; o->beside;) {
        const cq_norm *other = &(--o)->norm[CQ_NORM_PRE];
        bool same = pre->on == other->on && pre->stored_gain == other->stored_gain &&
                    pre->stored_bias == other->stored_bias && pre->kind == other->kind &&
                    !(pre->eps < other->eps || pre->eps > other->eps) &&
                    !(b->in_scale < o->in_scale || b->in_scale > o->in_scale);
        if (same && o->kind <= CQ_BLOCK_MLP && cq_block_group(o, 0, 0)) found = o;
    }
    return found;
}

CQUANT_DEF bool cq_layer_group(const cq_model *m, size_t first, size_t index, const cq_block **block, size_t *group) {
    size_t count = 0;
    bool streams = false;
    for (; cq__same_layer(m, first, first + count); count++) streams = streams || m->blocks[first + count].text;
    for (size_t phase = 0; phase < (streams ? 2u : count); phase++) /* attentions, the others; or block after block */
        for (size_t g = 0; g < CQ__NO_GROUP; g++)
            for (size_t k = 0; k < (streams ? 2 * count : count); k++) {
                const cq_block *b = &m->blocks[first + k % count];
                if (streams && (b->text != (k >= count) || (b->kind > CQ_BLOCK_MLA) != (phase != 0))) continue;
                if (!streams && cq__calibrated(b, g) != &m->blocks[first + phase]) continue;
                if (!cq_block_group(b, g, 0) || index-- != 0) continue;
                *block = b;
                *group = g;
                return true;
            }
    return false;
}

/* ---- tensors ---- */
/* Looks for m->name; NULL if there is none. */
static const cq_named *cq__bind_look(cq__binder *b) {
    if (b->name_len + 1 >= sizeof b->m->name) return NULL; /* perhaps cut off: it could be another tensor's name */
    return cq_weights_find(b->weights, b->m->name, b->name_len);
}
static cq_status cq__bind_missing(cq__binder *b) {
    if (b->name_len + 1 >= sizeof b->m->name)
        return cq__bind_fail(b, CQ_ERR_RANGE, "the description makes a name of more than 254 bytes", INT64_MIN);
    return cq__bind_fail(b, CQ_ERR_MISSING, "tensor is missing", INT64_MIN);
}
/* Marks a tensor as part of the model, and counts its numbers the first time. */
static void cq__bind_use(cq__binder *b, const cq_named *n, size_t numbers) {
    if (!b->used[n - b->weights->list]) b->m->parameters += numbers;
    b->used[n - b->weights->list] = 1;
}
static void cq__bind_suffix(cq__binder *b, const char *suffix) {
    b->name_len = cq__append(b->m->name, sizeof b->m->name, b->name_len, suffix, cq__strlen(suffix));
}

/* Tensor n as a matrix (rows, cols). swap: it is stored as (cols, rows). */
static cq_status cq__bind_matrix(cq__binder *b, const cq_named *n, cq_tensor *t, size_t rows, size_t cols, bool swap) {
    swap = swap && n->dtype != CQ_DTYPE_PACKED;
    if (!n->t.data)
        return cq__bind_fail(b, CQ_ERR_UNSUPPORTED, "tensor has a dtype that is none of F32, F16, BF16", INT64_MIN);
    if (n->ndim != 2) return cq__bind_fail(b, CQ_ERR_FORMAT, "tensor should have two dimensions", n->ndim);
    if (n->t.rows != (swap ? cols : rows))
        return cq__bind_fail(b, CQ_ERR_FORMAT, "tensor's first dimension contradicts config.json", (int64_t)n->t.rows);
    if (n->t.cols != (swap ? rows : cols))
        return cq__bind_fail(b, CQ_ERR_FORMAT, "tensor's second dimension contradicts config.json", (int64_t)n->t.cols);
    *t = n->t;
    if (swap) {
        t->layout = CQ_COLUMNS;
        t->rows = rows;
        t->cols = cols;
    }
    cq__bind_use(b, n, rows * cols);
    return CQ_OK;
}
/* Tensor n as n values in fp32: in place if it is that, else converted into the arena; add: to each value. shaped: it
   must be a vector; else any shape with `cols` as last dimension, or none but one longer than 1. */
static cq_status cq__bind_values(cq__binder *b, const cq_named *n, const unsigned char **out, size_t rows, size_t cols,
                                 bool shaped, float add) {
    unsigned char *copy;
    if (!n->t.data || cq_format_is_coded(n->t.format))
        return cq__bind_fail(b, CQ_ERR_UNSUPPORTED, "tensor has a dtype that is none of F32, F16, BF16", INT64_MIN);
    if (shaped && (!n->ndim || n->t.rows != 1)) /* a norm of the only head may have two dimensions */
        return cq__bind_fail(b, CQ_ERR_FORMAT, "tensor should have one dimension", n->ndim);
    if (n->t.rows * n->t.cols != rows * cols || (!shaped && rows > 1 && cols > 1 && n->ndim > 1 && n->t.cols != cols))
        return cq__bind_fail(b, CQ_ERR_FORMAT, "tensor's length contradicts config.json",
                             (int64_t)(n->t.rows * n->t.cols));
    cq__bind_use(b, n, rows * cols);
    bool zero = !(add > 0.0f || add < 0.0f);
    if (n->t.format == CQ_F32 && n->t.layout == CQ_ROWS && zero) {
        *out = n->t.data;
        return CQ_OK;
    }
    copy = (unsigned char *)cq_alloc(b->arena, rows * cols, 4);
    if (!copy) return cq__bind_fail(b, CQ_ERR_MEMORY, "arena too small for the model", INT64_MIN);
    for (size_t i = 0; i < rows * cols; i++) {
        float v;
        cq_tensor_span(&n->t, i / n->t.cols, i % n->t.cols, 1, &v);
        cq__put32(copy + 4 * i, cq__bits(v + add));
    }
    *out = copy;
    return CQ_OK;
}

/* the part of `v` up to the first of the characters in `ends`; *v goes on with it */
static cq_str cq__until(cq_str *v, const char *ends) {
    size_t n = 0;
    for (; n < v->n; n++)
        for (const char *e = ends; *e; e++)
            if (v->p[n] == *e) goto found;
found:;
    cq_str head = cq__str(v->p, n);
    *v = cq__str(v->p + n, v->n - n);
    return head;
}

/* +BIAS: nothing, '+', '+?', '+EXPR'. *always false: only if the checkpoint has it */
static cq_status cq__bind_wants(cq__binder *b, cq_str mark, int64_t layer, bool *wanted, bool *always) {
    *wanted = mark.n != 0;
    *always = !(mark.n == 2 && mark.p[1] == '?');
    if (mark.n < 2 || !*always) return CQ_OK;
    return cq__eval_bool(b->m, cq__str(mark.p + 1, mark.n - 1), layer, wanted, b->err);
}

/* Where a norm, linear or parameter belongs: in a block (inside its module, or beside it in the layer), or on top */
typedef struct cq__place {
    const cq_block *b; /* NULL: at the top */
    bool inside;
} cq__place;
static void cq__bind_name(cq__binder *b, cq__place p, cq_str name, size_t expert, bool apart) {
    char *out = b->m->name;
    out[0] = 0;
    b->name_len = p.b ? cq__block_path(b->m, p.b, p.inside, name, expert, apart, out, sizeof b->m->name)
                      : cq__append_path(out, sizeof b->m->name, 0, b->m, name, expert);
}
static int64_t cq__layer_of(cq__place p) { return p.b ? (int64_t)p.b->layer : -1; }

/* NORM: NAME[:KIND][@EPS][+BIAS]; what it does not say stands in the statement `norms` */
static cq_status cq__bind_norm(cq__binder *b, cq__place p, cq_str value, size_t n, size_t count, cq_norm *norm) {
    static const char *const kinds[] = {"rms", "rms1", "ln", "ln1", NULL};
    cq_str rest = value, usual = b->m->arch.norms, name, kind = cq__str(NULL, 0), eps = cq__lit("EPS"), word;
    bool wanted, always;
    size_t k = 0;
    const cq_named *t;
    cq_status st;
    name = cq__until(&rest, ":@+");
    if (rest.n && rest.p[0] == ':') {
        rest = cq__str(rest.p + 1, rest.n - 1);
        kind = cq__until(&rest, "@+");
    }
    if (rest.n && rest.p[0] == '@') {
        rest = cq__str(rest.p + 1, rest.n - 1);
        eps = cq__until(&rest, "+");
    }
    word = cq__until(&usual, "+ ");
    if (!kind.n) {
        kind = word;
        if (!rest.n) rest = usual;
    }
    while (kinds[k] && !cq__str_eq(kind, kinds[k])) k++;
    if (!kinds[k])
        return cq_fail_at(b->err, CQ_ERR_FORMAT, "a norm is rms, rms1, ln or ln1", value.p, value.n, UINT64_MAX,
                          INT64_MIN);
    norm->on = true;
    norm->name = name;
    norm->kind = k < 2 ? CQ_NORM_RMS : CQ_NORM_LAYER;
    norm->plus_one = k % 2 != 0;
    norm->eps = 1e-6f;
    if ((st = cq__eval_real(b->m, eps, cq__layer_of(p), &norm->eps, b->err)) != CQ_OK) return st;
    if (!(norm->eps >= 0.0f && norm->eps < 1.0f)) {
        cq_str key = eps;
        (void)cq__evaluate(b->m, eps, cq__layer_of(p), &key, NULL, &st);
        return cq_fail_at(b->err, CQ_ERR_RANGE, "a norm's epsilon should be between 0 and 1", key.p, key.n, UINT64_MAX,
                          INT64_MIN);
    }
    if (cq__str_eq(name, "-")) return CQ_OK;
    if ((st = cq__bind_wants(b, rest, cq__layer_of(p), &wanted, &always)) != CQ_OK) return st;
    if (count > 1) { /* NAME.#: one vector for each head */
        bool numbered = false;
        for (size_t i = 0; i < name.n; i++) numbered = numbered || name.p[i] == '#';
        if (numbered) {
            unsigned char *all = (unsigned char *)cq_alloc(b->arena, n, 4);
            if (!all) return cq_fail(b->err, CQ_ERR_MEMORY, "arena too small for the model");
            for (size_t h = 0; h < count; h++) {
                const unsigned char *one;
                cq__bind_name(b, p, name, h, false);
                cq__bind_suffix(b, ".weight");
                t = cq__bind_look(b);
                if (!t) return cq__bind_missing(b);
                st = cq__bind_values(b, t, &one, 1, n / count, true, 0.0f);
                if (st) return st;
                cq__copy(all + 4 * (n / count) * h, one, 4 * (n / count));
                norm->stored_gain = t;
            }
            norm->gain = all;
            norm->each = true;
            return CQ_OK;
        }
    }
    cq__bind_name(b, p, name, 0, false);
    cq__bind_suffix(b, ".weight");
    t = cq__bind_look(b);
    if (!t) { /* a parameter, as gemma4's routers have it */
        cq__bind_name(b, p, name, 0, false);
        t = cq__bind_look(b);
        if (!t) cq__bind_suffix(b, ".weight");
    }
    if (!t) return cq__bind_missing(b);
    norm->stored_gain = t;
    st = cq__bind_values(b, t, &norm->gain, count, n / count, count == 1, norm->plus_one ? 1.0f : 0.0f);
    if (st || !wanted) return st;
    cq__bind_name(b, p, name, 0, false);
    cq__bind_suffix(b, ".bias");
    t = cq__bind_look(b);
    if (!t) return always ? cq__bind_missing(b) : CQ_OK;
    norm->stored_bias = t;
    return cq__bind_values(b, t, &norm->bias, 1, n, true, 0.0f);
}

/* The next of alternatives A|B, which '|' outside of brackets divides; *v goes on behind it. */
static cq_str cq__alternative(cq_str *v) {
    size_t n = 0, open = 0;
    for (; n < v->n; n++) {
        if (v->p[n] == '(' || v->p[n] == '[') open++;
        if ((v->p[n] == ')' || v->p[n] == ']') && open) open--;
        if (v->p[n] == '|' && !open) break;
    }
    cq_str head = cq__str(v->p, n);
    *v = n < v->n ? cq__str(v->p + n + 1, v->n - n - 1) : cq__str(v->p + n, 0);
    return head;
}

/* A parameter NAME|NAME of a block: the tensor NAME, or NAME.weight (convolutions). more: it may be longer, its first
   values count. */
static cq_status cq__bind_param(cq__binder *b, cq__place p, cq_str value, size_t rows, size_t cols, bool more,
                                cq_param *param, cq_param *bias) {
    cq_str all = value, rest, name = value;
    const cq_named *t = NULL;
    bool wanted = false, always = true;
    cq_status st;
    while (all.n && !t) {
        rest = cq__alternative(&all);
        name = cq__until(&rest, "+");
        if ((st = cq__bind_wants(b, rest, cq__layer_of(p), &wanted, &always)) != CQ_OK) return st;
        if (rest.n && !bias && !wanted) return CQ_OK; /* NAME+EXPR: only if the expression is true */
        cq__bind_name(b, p, name, 0, false);
        t = cq__bind_look(b);
        if (t) break;
        cq__bind_suffix(b, ".weight");
        t = cq__bind_look(b);
    }
    if (!t) {
        cq__bind_name(b, p, name, 0, false);
        return cq__bind_missing(b);
    }
    param->stored = t;
    if (more && t->t.data && t->t.rows * t->t.cols > rows * cols) {
        rows = t->t.rows;
        cols = t->t.cols;
    }
    if ((st = cq__bind_values(b, t, &param->data, rows, cols, false, 0.0f)) != CQ_OK || !bias) return st;
    if (!wanted) return CQ_OK;
    cq__bind_name(b, p, name, 0, false);
    cq__bind_suffix(b, ".bias");
    t = cq__bind_look(b);
    if (!t) return always ? cq__bind_missing(b) : CQ_OK;
    bias->stored = t;
    return cq__bind_values(b, t, &bias->data, 1, rows, true, 0.0f);
}

/* The bias of a linear, of `count` experts in one tensor: out (count * rows) */
static cq_status cq__bind_bias(cq__binder *b, cq__place p, cq_str name, const char *suffix, size_t expert, bool apart,
                               cq_str mark, size_t count, size_t rows, cq_linear *l) {
    bool wanted, always;
    const cq_named *t;
    const unsigned char *data = NULL;
    cq_status st = cq__bind_wants(b, mark, cq__layer_of(p), &wanted, &always);
    if (st || !wanted) return st;
    cq__bind_name(b, p, name, expert, apart);
    cq__bind_suffix(b, suffix);
    t = cq__bind_look(b);
    if (!t && suffix[0] == '.') { /* a parameter beside the linear, as GPT-NeoX Japanese has it */
        cq__bind_name(b, p, name, expert, apart);
        cq__bind_suffix(b, "_bias");
        t = cq__bind_look(b);
    }
    if (!t) {
        cq__bind_name(b, p, name, expert, apart);
        cq__bind_suffix(b, suffix);
        return always ? cq__bind_missing(b) : CQ_OK;
    }
    st = cq__bind_values(b, t, &data, count, rows, count == 1, 0.0f);
    for (size_t e = 0; e < count; e++) {
        l[e].bias = st ? NULL : data + 4 * e * rows;
        l[e].stored_bias = t;
    }
    return st;
}

/* One tensor for all experts: (experts, rows, cols) or (experts * rows, cols); swap: cols and rows the other way. */
static cq_status cq__bind_stack(cq__binder *b, const cq_named *n, cq_linear *l, size_t count, size_t rows, size_t cols,
                                bool swap) {
    size_t r = swap ? cols : rows, c = swap ? rows : cols, size;
    if (!n->t.data || cq_format_is_coded(n->t.format) || n->t.layout != CQ_ROWS)
        return cq__bind_fail(b, CQ_ERR_UNSUPPORTED, "tensor has a dtype that is none of F32, F16, BF16", INT64_MIN);
    if ((n->ndim != 2 && n->ndim != 3) || (n->ndim == 3 && n->shape[0] != count))
        return cq__bind_fail(b, CQ_ERR_FORMAT, "tensor's first dimension should be the number of experts",
                             n->ndim ? (int64_t)n->shape[0] : 0);
    if (n->t.rows != count * r)
        return cq__bind_fail(b, CQ_ERR_FORMAT, "tensor's dimension before the last contradicts config.json",
                             (int64_t)n->t.rows);
    if (n->t.cols != c)
        return cq__bind_fail(b, CQ_ERR_FORMAT, "tensor's last dimension contradicts config.json", (int64_t)n->t.cols);
    size = cq_format_bits(n->t.format) / 8;
    for (size_t e = 0; e < count; e++) {
        cq_status st = cq_tensor_init(&l[e].w, n->t.format, swap ? CQ_COLUMNS : CQ_ROWS, rows, cols, 0, false, b->err);
        if (st) return st;
        l[e].w.data = n->t.data + e * rows * cols * size;
        l[e].stored = n;
    }
    cq__bind_use(b, n, count * rows * cols);
    return CQ_OK;
}

/* One alternative of a LINEAR, NAME[^][!][+BIAS]: `count` of them (experts) into l. *found false: it is not there. */
static cq_status cq__bind_named(cq__binder *b, cq__place p, cq_str value, cq_role role, size_t count, size_t rows,
                                size_t cols, cq_linear *l, bool *found) {
    cq_str rest = value, name = cq__until(&rest, "^!+");
    bool swap = false, keep = cq__roles[role].group == CQ__NO_GROUP, experts = cq__is_expert(role), numbered = false;
    const cq_named *t;
    const char *suffix;
    cq_status st;
    for (; rest.n && (rest.p[0] == '^' || rest.p[0] == '!'); rest = cq__str(rest.p + 1, rest.n - 1)) {
        swap = swap || rest.p[0] == '^';
        keep = keep || rest.p[0] == '!';
    }
    for (size_t i = 0; i < name.n; i++) numbered = numbered || name.p[i] == '#';
    for (size_t e = 0; e < count; e++) {
        l[e].role = role;
        l[e].expert = (uint32_t)e;
        l[e].name = name;
        l[e].keep = keep;
    }
    *found = true;
    cq__bind_name(b, p, name, 0, experts);
    cq__bind_suffix(b, ".weight");
    t = cq__bind_look(b);
    if (t && (numbered || !experts || t->dtype == CQ_DTYPE_PACKED)) { /* one by one */
        for (size_t e = 0; e < count; e++) {
            cq__bind_name(b, p, name, e, experts);
            cq__bind_suffix(b, ".weight");
            t = cq__bind_look(b);
            if (!t) return cq__bind_missing(b);
            l[e].stored = t;
            if ((st = cq__bind_matrix(b, t, &l[e].w, rows, cols, swap)) != CQ_OK ||
                (st = cq__bind_bias(b, p, name, ".bias", e, experts, rest, 1, rows, &l[e])) != CQ_OK)
                return st;
        }
        return CQ_OK;
    }
    *found = false;
    if (!experts || numbered) return CQ_OK;
    cq__bind_name(b, p, name, 0, false); /* all in one: NAME, or NAME.weight */
    t = cq__bind_look(b);
    suffix = t ? "_bias" : ".bias";
    if (!t) {
        cq__bind_suffix(b, ".weight");
        t = cq__bind_look(b);
    }
    if (!t) return CQ_OK;
    *found = true;
    if ((st = cq__bind_stack(b, t, l, count, rows, cols, swap)) != CQ_OK) return st;
    return cq__bind_bias(b, p, name, suffix, 0, false, rest, count, rows, l);
}
/* LINEAR: A|B, the first that is there; none: it is missing under its first name. */
static cq_status cq__bind_linear(cq__binder *b, cq__place p, cq_str value, cq_role role, size_t count, size_t rows,
                                 size_t cols, cq_linear *l) {
    cq_str rest = value, first;
    while (rest.n) {
        bool found;
        cq_status st = cq__bind_named(b, p, cq__alternative(&rest), role, count, rows, cols, l, &found);
        if (st || found) return st;
    }
    rest = value;
    first = cq__alternative(&rest);
    cq__bind_name(b, p, cq__until(&first, "^!+"), 0, false);
    cq__bind_suffix(b, ".weight");
    return cq__bind_missing(b);
}

#define CQ__MOST ((size_t)1 << 30)
#define CQ__TRY(call)                                                                                                  \
    do {                                                                                                               \
        if ((st = (call)) != CQ_OK) return st;                                                                         \
    } while (0)

/* ---- rope ----
   Rotary frequencies: inv_freq[j] = theta^(-2j/d), then changed as the scaling says (transformers,
   modeling_rope_utils.py). scaling: an object of config.json with rope_type (or type) and its numbers, or 0. */
#define CQ__PI 3.14159265f
static cq_status cq__rope_real(const cq_model *m, uint32_t object, const char *key, float *out, cq_error *err) {
    uint32_t node = cq_json_find(&m->config, object, key);
    if (!node || cq_json_is_null(&m->config, node)) return CQ_OK;
    if (cq_json_float(&m->config, node, out) && *out - *out == 0.0f) return CQ_OK;
    return cq_fail_at(err, CQ_ERR_FORMAT, "key of config.json should be a finite number", key, cq__strlen(key),
                      m->config.nodes[node].begin, INT64_MIN);
}
static cq_status cq__rope_need(bool good, const char *what, const char *key, cq_error *err) {
    return good ? CQ_OK : cq_fail_at(err, CQ_ERR_RANGE, what, key, cq__strlen(key), UINT64_MAX, INT64_MIN);
}

static cq_status cq__rope_llama3(const cq_model *m, uint32_t scaling, float *inv_freq, size_t half, float factor,
                                 float original, cq_error *err) {
    /* long wavelengths are divided by the factor, short ones kept, those between blended */
    float low = 1.0f, high = 4.0f;
    cq_status st;
    if ((st = cq__rope_real(m, scaling, "low_freq_factor", &low, err)) != CQ_OK ||
        (st = cq__rope_real(m, scaling, "high_freq_factor", &high, err)) != CQ_OK ||
        (st = cq__rope_need(low > 0.0f && high > low, "rope scaling needs 0 < low_freq_factor < high_freq_factor",
                            "low_freq_factor", err)) != CQ_OK)
        return st;
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

static cq_status cq__rope_yarn(const cq_model *m, uint32_t scaling, float *inv_freq, size_t dim, float theta,
                               float factor, float original, float *rope_scale, cq_error *err) {
    /* a ramp over j between the dimensions that turn beta_fast and beta_slow times in the original context */
    const cq_json *c = &m->config;
    float fast = 32.0f, slow = 1.0f, scale = 0.0f, mscale = 0.0f, mscale_all = 0.0f, d = (float)dim;
    bool truncate = true;
    uint32_t node = cq_json_find(c, scaling, "truncate");
    cq_status st;
    if (node) (void)cq_json_bool(c, node, &truncate);
    if ((st = cq__rope_real(m, scaling, "beta_fast", &fast, err)) != CQ_OK ||
        (st = cq__rope_real(m, scaling, "beta_slow", &slow, err)) != CQ_OK ||
        (st = cq__rope_real(m, scaling, "attention_factor", &scale, err)) != CQ_OK ||
        (st = cq__rope_real(m, scaling, "mscale", &mscale, err)) != CQ_OK ||
        (st = cq__rope_real(m, scaling, "mscale_all_dim", &mscale_all, err)) != CQ_OK ||
        (st = cq__rope_need(fast > 0.0f && slow > 0.0f, "rope scaling needs beta_fast and beta_slow above 0",
                            "beta_fast", err)) != CQ_OK)
        return st;
    float log_factor = cq_logf(factor), log_theta = cq_logf(theta);
    if (!(scale > 0.0f)) {
        if (mscale > 0.0f && mscale_all > 0.0f)
            scale = (0.1f * mscale * log_factor + 1.0f) / (0.1f * mscale_all * log_factor + 1.0f);
        else scale = 0.1f * log_factor + 1.0f;
    }
    *rope_scale = scale;
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
    for (size_t j = 0; j < dim / 2; j++) {
        float ramp = ((float)j - lo) / (hi - lo);
        ramp = ramp > 0.0f ? (ramp < 1.0f ? ramp : 1.0f) : 0.0f;
        inv_freq[j] = inv_freq[j] / factor * ramp + inv_freq[j] * (1.0f - ramp);
    }
    return CQ_OK;
}

/* longrope: every frequency divided by a number of its own, other numbers beyond the original context */
static cq_status cq__rope_longrope(cq__binder *b, uint32_t scaling, float *inv_freq, cq_rope *rope, float original) {
    static const char *const keys[2] = {"short_factor", "long_factor"};
    const cq_json *c = &b->m->config;
    float *longer = (float *)cq_alloc(b->arena, rope->dim / 2, sizeof(float)), factor, scale = 0.0f;
    cq_status st;
    if (!longer) return cq_fail(b->err, CQ_ERR_MEMORY, "arena too small for the model");
    for (size_t j = 0; j < rope->dim / 2; j++) longer[j] = inv_freq[j];
    for (size_t k = 0; k < 2; k++) {
        uint32_t list = cq_json_find(c, scaling, keys[k]), node;
        float *to = k ? longer : inv_freq;
        if (!list || cq_json_kind(c, list) != CQ_JSON_ARRAY || c->nodes[list].count != rope->dim / 2)
            return cq_fail_at(b->err, CQ_ERR_FORMAT, "longrope needs a list of half as many numbers as dimensions turn",
                              keys[k], cq__strlen(keys[k]), UINT64_MAX, (int64_t)(rope->dim / 2));
        node = cq_json_child(c, list);
        for (size_t j = 0; j < rope->dim / 2; j++, node = cq_json_next(c, node)) {
            float f = 0.0f;
            if (!cq_json_float(c, node, &f) || !(f > 0.0f))
                return cq_fail_at(b->err, CQ_ERR_FORMAT, "longrope's factors should be positive numbers", keys[k],
                                  cq__strlen(keys[k]), c->nodes[node].begin, INT64_MIN);
            to[j] = to[j] / f;
        }
    }
    rope->long_freq = longer;
    rope->limit = (size_t)original;
    factor = (float)b->m->context / original;
    if ((st = cq__rope_real(b->m, scaling, "factor", &factor, b->err)) != CQ_OK ||
        (st = cq__rope_real(b->m, scaling, "attention_factor", &scale, b->err)) != CQ_OK)
        return st;
    if (b->m->context) factor = (float)b->m->context / original;
    rope->scale = scale > 0.0f ? scale : factor > 1.0f ? cq_sqrtf(1.0f + cq_logf(factor) / cq_logf(original)) : 1.0f;
    rope->long_scale = rope->scale; /* phimoe names both */
    CQ__TRY(cq__rope_real(b->m, scaling, "short_mscale", &rope->scale, b->err));
    CQ__TRY(cq__rope_real(b->m, scaling, "long_mscale", &rope->long_scale, b->err));
    return CQ_OK;
}

static cq_status cq__rope_scaled(cq__binder *b, uint32_t scaling, float *inv_freq, cq_rope *rope) {
    static const char *const words[] = {"default", "mrope", "linear", "llama3", "yarn", "dynamic", "longrope", "su",
                                        "proportional", NULL};
    const cq_model *m = b->m;
    const cq_json *c = &m->config;
    size_t half = rope->dim / 2, k = 0;
    uint32_t type, parameters = cq__key(m, cq__lit("rope_parameters"));
    float factor = 0.0f, original = (float)m->context;
    cq_status st;
    for (uint32_t key = cq_json_child(c, scaling); key; key = cq_json_next(c, key))
        if (cq_json_kind(c, cq_json_child(c, key)) == CQ_JSON_OBJECT)
            return cq_fail_at(b->err, CQ_ERR_UNSUPPORTED, "rope_parameters of their own for some layers",
                              "rope_parameters", 15, c->nodes[key].begin, INT64_MIN);
    type = cq_json_find(c, scaling, "rope_type");
    if (!type) type = cq_json_find(c, scaling, "type");
    if (!type) {
        if (parameters) return CQ_OK;
        return cq_fail_at(b->err, CQ_ERR_MISSING, "rope_scaling lacks a key", "rope_type", 9, UINT64_MAX, INT64_MIN);
    }
    while (words[k] && !cq_json_string_eq(c, type, words[k])) k++;
    if (!words[k])
        return cq_fail_at(b->err, CQ_ERR_UNSUPPORTED,
                          "rope scaling should be default, linear, dynamic, llama3, yarn, longrope or proportional",
                          c->text + c->nodes[type].begin, c->nodes[type].end - c->nodes[type].begin, UINT64_MAX,
                          INT64_MIN);
    if (k < 2) return CQ_OK;
    uint32_t whole = cq__key(m, cq__lit("original_max_position_embeddings"));
    if (whole && !cq_json_is_null(c, whole) && !cq_json_float(c, whole, &original))
        return cq_fail_at(b->err, CQ_ERR_FORMAT, "key of config.json should be a finite number",
                          "original_max_position_embeddings", 32, UINT64_MAX, INT64_MIN);
    if ((st = cq__rope_real(m, scaling, "factor", &factor, b->err)) != CQ_OK ||
        (st = cq__rope_real(m, scaling, "original_max_position_embeddings", &original, b->err)) != CQ_OK)
        return st;
    if (k == 8) { /* gemma4: the first part of the pairs turns, the others stay; their angles are those of all pairs */
        float part = 1.0f;
        if ((st = cq__rope_real(m, scaling, "partial_rotary_factor", &part, b->err)) != CQ_OK) return st;
        for (size_t j = 0; j < half; j++) {
            if ((float)j >= (float)(int32_t)(part * (float)half)) inv_freq[j] = 0.0f;
            else if (factor > 0.0f) inv_freq[j] = inv_freq[j] / factor;
        }
        return CQ_OK;
    }
    if (k < 6 &&
        (st = cq__rope_need(factor >= 1.0f, "rope scaling needs a factor of at least 1", "factor", b->err)) != CQ_OK)
        return st;
    if (k == 2) {
        for (size_t j = 0; j < half; j++) inv_freq[j] = inv_freq[j] / factor;
        return CQ_OK;
    }
    if (k == 5) original = (float)m->context;
    if (!(original >= 1.0f && original < 1e31f))
        return cq_fail_at(b->err, CQ_ERR_MISSING, "rope scaling needs a key", "original_max_position_embeddings", 32,
                          UINT64_MAX, INT64_MIN);
    if (k == 3) return cq__rope_llama3(m, scaling, inv_freq, half, factor, original, b->err);
    if (k == 4)
        return cq__rope_yarn(m, scaling, inv_freq, rope->dim, rope->theta, factor, original, &rope->scale, b->err);
    if (!(original < 1e9f))
        return cq_fail_at(b->err, CQ_ERR_RANGE, "key of config.json is out of range",
                          "original_max_position_embeddings",
                          32, UINT64_MAX, INT64_MIN);
    if (k == 5) { /* NTK-aware: beyond the context the base grows with the length of the sequence */
        rope->limit = m->context;
        rope->factor = factor;
        return CQ_OK;
    }
    return cq__rope_longrope(b, scaling, inv_freq, rope, original);
}

/* The table of angles of one block; blocks that agree share one. */
static cq_status cq__bind_rope(cq__binder *b, cq_block *block, cq_str theta, cq_str scaling) {
    cq_model *m = b->m;
    cq_arena before = *b->arena;
    cq_rope rope;
    float *inv_freq;
    cq_str key;
    cq_status st;
    cq__value v;
    cq__fill(&rope, 0, sizeof rope);
    rope.dim = block->rope_dim;
    rope.theta = 10000.0f;
    rope.scale = 1.0f;
    if ((st = cq__eval_real(m, theta, (int64_t)block->layer, &rope.theta, b->err)) != CQ_OK) return st;
    if (!(rope.theta > 1.0f))
        return cq_fail_at(b->err, CQ_ERR_RANGE, "rope_theta should be above 1", "rope_theta", 10, UINT64_MAX,
                          INT64_MIN);
    v = cq__evaluate(m, scaling, (int64_t)block->layer, &key, b->err, &st);
    if (st) return st;
    if (v.type != CQ__NONE && (v.type != CQ__NODE || cq_json_kind(&m->config, v.node) != CQ_JSON_OBJECT))
        return cq_fail_at(b->err, CQ_ERR_FORMAT, "key of config.json should be an object or null", key.p, key.n,
                          UINT64_MAX, INT64_MIN);
    inv_freq = (float *)cq_alloc(b->arena, rope.dim / 2, sizeof(float));
    if (!inv_freq) return cq_fail(b->err, CQ_ERR_MEMORY, "arena too small for the model");
    rope.inv_freq = inv_freq;
    for (size_t j = 0; j < rope.dim / 2; j++)
        inv_freq[j] = 1.0f / cq_powf(rope.theta, (float)(2 * j) / (float)rope.dim);
    if (v.type == CQ__NODE && (st = cq__rope_scaled(b, v.node, inv_freq, &rope)) != CQ_OK) return st;
    for (size_t i = 0; i < m->ropes; i++) {
        const cq_rope *r = &m->rope[i];
        if (r->dim != rope.dim || !cq__equal(&r->theta, &rope.theta, sizeof(float)) ||
            !cq__equal(&r->scale, &rope.scale, sizeof(float)) || r->limit != rope.limit ||
            !cq__equal(r->inv_freq, inv_freq, rope.dim / 2 * sizeof(float)))
            continue;
        *b->arena = before;
        block->rope = i;
        return CQ_OK;
    }
    if (m->ropes == CQ_MAX_ROPES)
        return cq_fail(b->err, CQ_ERR_UNSUPPORTED, "more than four different rotary embeddings in one model");
    block->rope = m->ropes;
    m->rope[m->ropes++] = rope;
    return CQ_OK;
}

/* ---- numbers ---- */
/* the value of a word of a block, or what it is by default */
static cq_str cq__expr_of(const cq__binder *b, const cq_block *block, cq__word_id id, const char *otherwise) {
    cq_str v = cq__find_word(&b->m->arch, block->desc, id);
    return v.n ? v : cq__lit(otherwise);
}
static cq_status cq__number(cq__binder *b, const cq_block *block, cq__word_id id, const char *otherwise, size_t max,
                            size_t *out) {
    return cq__eval_size(b->m, cq__expr_of(b, block, id, otherwise), (int64_t)block->layer, 1, max, NULL, out, b->err);
}
static cq_status cq__real(cq__binder *b, const cq_block *block, cq__word_id id, float *out) {
    cq_str v = cq__find_word(&b->m->arch, block->desc, id);
    return v.n ? cq__eval_real(b->m, v, (int64_t)block->layer, out, b->err) : CQ_OK;
}
static cq_status cq__truth_of(cq__binder *b, const cq_block *block, cq__word_id id, bool *out) {
    cq_str v = cq__find_word(&b->m->arch, block->desc, id);
    return v.n ? cq__eval_bool(b->m, v, (int64_t)block->layer, out, b->err) : CQ_OK;
}
static cq_status cq__choice(cq__binder *b, const cq_block *block, cq__word_id id, const char *const *words,
                            const char *what, size_t *out) {
    cq_str v = cq__find_word(&b->m->arch, block->desc, id);
    return v.n ? cq__eval_choice(b->m, v, (int64_t)block->layer, words, what, out, b->err) : CQ_OK;
}
/* window and chunk: a number of tokens; null and false mean none */
static cq_status cq__span(cq__binder *b, const cq_block *block, cq__word_id id, size_t *out) {
    cq_str v = cq__find_word(&b->m->arch, block->desc, id), key;
    cq_status st;
    cq__value value;
    *out = 0;
    if (!v.n) return CQ_OK;
    value = cq__evaluate(b->m, v, (int64_t)block->layer, &key, b->err, &st);
    if (st || value.type == CQ__NONE || (value.type == CQ__BOOL && !value.i)) return st;
    if (value.type != CQ__INT || value.i < 1 || value.i > ((int64_t)1 << 30))
        return cq_fail_at(b->err, CQ_ERR_RANGE, "sliding window should be a positive integer or null", key.p, key.n,
                          UINT64_MAX, value.type == CQ__INT ? value.i : INT64_MIN);
    *out = (size_t)value.i;
    return CQ_OK;
}

/* reuse=EXPR: the last block of an earlier layer that has keys and values of its own, and where EXPR is the same */
static cq_status cq__bind_lender(cq__binder *b, cq_block *block, cq_str expr) {
    cq_str key;
    cq_status st;
    cq__value here = cq__evaluate(b->m, expr, (int64_t)block->layer, &key, b->err, &st), there;
    if (st) return st;
    for (cq_block *o = block; o-- > b->m->blocks;) {
        if (o->kind != CQ_BLOCK_ATTENTION || o->lender || o->list != block->list || o->layer == block->layer) continue;
        there = cq__evaluate(b->m, expr, (int64_t)o->layer, &key, b->err, &st);
        if (st) return st;
        if (!cq__same(here, there)) continue;
        if (o->text || o->kv_heads != block->kv_heads || o->head_dim != block->head_dim || o->v_dim != block->v_dim)
            return cq_fail_at(b->err, CQ_ERR_FORMAT, "a layer would read keys and values of another shape", expr.p,
                              expr.n, UINT64_MAX, (int64_t)block->layer);
        o->lends = true;
        block->lender = 1 + (size_t)(o - b->m->blocks);
        block->cache_k = o->cache_k;
        block->cache_v = o->cache_v;
        block->cache_scale = o->cache_scale;
        return CQ_OK;
    }
    return cq_fail_at(b->err, CQ_ERR_FORMAT, "no earlier layer has keys and values that this one could read", expr.p,
                      expr.n, UINT64_MAX, (int64_t)block->layer);
}

static cq_status cq__numbers_attention(cq__binder *b, cq_block *block) {
    static const char *const layouts[] = {"cat", "group", "codegen", NULL};
    static const char *const styles[] = {"none", "half", "inter", "neg", NULL};
    static const char *const norms[] = {"head", "full", "heads", NULL};
    const cq_arch *a = &b->m->arch;
    bool latent = block->kind == CQ_BLOCK_MLA;
    size_t choice = 0, style = CQ_ROPE_HALF;
    cq_str temper = cq__find_word(a, block->desc, CQ__W_TEMPER);
    const cq_block *before = block > b->m->blocks ? block - 1 : block;
    const cq_block *twin = !latent && before->kind == CQ_BLOCK_ATTENTION && before->text &&
                                   before->layer == block->layer && before->list == block->list &&
                                   !cq__flag(a, block->desc, CQ__W_TEXT)
                               ? before
                               : NULL;
    cq_status st;
    block->causal = cq__flag(a, block->desc, CQ__W_CAUSAL);
    block->text = cq__flag(a, block->desc, CQ__W_TEXT);
    block->own = cq__flag(a, block->desc, CQ__W_OWN);
    block->q_gate = cq__flag(a, block->desc, CQ__W_Q_GATE);
    block->qk_late = cq__flag(a, block->desc, CQ__W_QK_LATE);
    CQ__TRY(cq__number(b, block, CQ__W_HEADS, "HEADS", 65536, &block->heads));
    CQ__TRY(cq__choice(b, block, CQ__W_ROPE, styles, "rope should be half, inter, neg or none", &style));
    block->rope_style = (cq_rope_style)style;
    if (latent) {
        CQ__TRY(cq__number(b, block, CQ__W_NOPE, "qk_nope_head_dim", 4096, &block->nope));
        CQ__TRY(cq__number(b, block, CQ__W_ROPE_DIM, "qk_rope_head_dim", 4096, &block->rope_dim));
        CQ__TRY(cq__number(b, block, CQ__W_V_DIM, "v_head_dim", 4096, &block->v_dim));
        CQ__TRY(cq__number(b, block, CQ__W_KV_RANK, "kv_lora_rank", CQ__MOST, &block->kv_rank));
        bool found = false;
        CQ__TRY(cq__eval_size(b->m, cq__expr_of(b, block, CQ__W_Q_RANK, "q_lora_rank"), (int64_t)block->layer, 1,
                              CQ__MOST, &found, &block->q_rank, b->err));
        if (!found) block->q_rank = 0;
        block->head_dim = block->nope + block->rope_dim;
        block->kv_heads = block->heads;
        block->rope_at = block->nope;
    } else {
        CQ__TRY(cq__number(b, block, CQ__W_KV_HEADS, "KV", 65536, &block->kv_heads));
        CQ__TRY(cq__number(b, block, CQ__W_HEAD_DIM, "HEAD_DIM", 4096, &block->head_dim));
        block->v_dim = block->head_dim;
        if (cq__find_word(a, block->desc, CQ__W_V_DIM).n)
            CQ__TRY(cq__number(b, block, CQ__W_V_DIM, "HEAD_DIM", 4096, &block->v_dim));
        if (block->rope_style != CQ_ROPE_NONE)
            CQ__TRY(cq__number(b, block, CQ__W_ROPE_DIM, "ROPE_DIM", 4096, &block->rope_dim));
    }
    if (block->heads % block->kv_heads)
        return cq_fail_at(b->err, CQ_ERR_RANGE, "the heads should be a multiple of the key heads",
                          "num_key_value_heads", 19, UINT64_MAX, (int64_t)block->kv_heads);
    if (block->rope_style != CQ_ROPE_NONE) {
        if (block->rope_dim % 2 || block->rope_dim > block->head_dim - block->rope_at)
            return cq_fail_at(b->err, CQ_ERR_RANGE,
                              "the turned dimensions should be even, and no more than a head has (head_dim)",
                              "head_dim", 8, UINT64_MAX, (int64_t)block->rope_dim);
        CQ__TRY(cq__bind_rope(b, block, cq__expr_of(b, block, CQ__W_THETA, "THETA"),
                              cq__expr_of(b, block, CQ__W_SCALING, "SCALING")));
    }
    block->scale_qk = 1.0f / cq_sqrtf((float)block->head_dim);
    CQ__TRY(cq__real(b, block, CQ__W_SCALE_QK, &block->scale_qk));
    CQ__TRY(cq__span(b, block, CQ__W_WINDOW, &block->window));
    CQ__TRY(cq__span(b, block, CQ__W_CHUNK, &block->chunk));
    CQ__TRY(cq__real(b, block, CQ__W_SOFTCAP, &block->softcap));
    CQ__TRY(cq__real(b, block, CQ__W_CLIP, &block->clip));
    block->q_scale = block->kv_scale = 1.0f;
    CQ__TRY(cq__real(b, block, CQ__W_Q_SCALE, &block->q_scale));
    CQ__TRY(cq__real(b, block, CQ__W_KV_SCALE, &block->kv_scale));
    CQ__TRY(cq__span(b, block, CQ__W_BLOCK, &block->block));
    block->gate_head = cq__flag(a, block->desc, CQ__W_GATE_HEAD);
    {
        static const char *const gates[] = {"sigmoid", "softplus", "silu", NULL};
        static const uint8_t acts[] = {CQ_ACT_SIGMOID, CQ_ACT_SOFTPLUS, CQ_ACT_SILU};
        CQ__TRY(cq__choice(b, block, CQ__W_GATE_ACT, gates, "gate_act should be sigmoid, softplus or silu", &choice));
        block->gate_act = (cq_activation)acts[choice];
        choice = 0;
    }
    block->k_scale = 1.0f;
    CQ__TRY(cq__real(b, block, CQ__W_K_SCALE, &block->k_scale));
    CQ__TRY(cq__truth_of(b, block, CQ__W_ALIBI, &block->alibi));
    block->alibi_scale = 1.0f;
    CQ__TRY(cq__real(b, block, CQ__W_ALIBI_SCALE, &block->alibi_scale));
    CQ__TRY(cq__choice(b, block, CQ__W_LAYOUT, layouts, "layout should be cat, group or codegen", &choice));
    block->layout = (cq_qkv_layout)choice;
    if (block->layout == CQ_QKV_CODEGEN && (block->heads % 4 || block->kv_heads != block->heads))
        return cq_fail_at(b->err, CQ_ERR_RANGE, "the codegen layout needs a multiple of four heads", "n_head", 6,
                          UINT64_MAX, (int64_t)block->heads);
    choice = 0;
    CQ__TRY(cq__choice(b, block, CQ__W_QK_NORM, norms, "qk_norm should be head, full or heads", &choice));
    block->qk_norm = (cq_qk_norm)choice;
    block->temper[2] = 1.0f; /* A,B[,OFFSET]: expressions, apart by commas outside of brackets */
    for (size_t part = 0; temper.n && part < 3; part++) {
        size_t comma = 0, open = 0;
        for (; comma < temper.n && (open || temper.p[comma] != ','); comma++) {
            if (temper.p[comma] == '(' || temper.p[comma] == '[') open++;
            if ((temper.p[comma] == ')' || temper.p[comma] == ']') && open) open--;
        }
        CQ__TRY(cq__eval_real(b->m, cq__str(temper.p, comma), (int64_t)block->layer, &block->temper[part], b->err));
        temper = comma < temper.n ? cq__str(temper.p + comma + 1, temper.n - comma - 1) : cq__str(temper.p, 0);
    }
    if (twin) { /* the tokens of a layer see what its text has written */
        if (twin->kv_heads != block->kv_heads || twin->head_dim != block->head_dim || twin->v_dim != block->v_dim)
            return cq_fail(b->err, CQ_ERR_FORMAT, "two streams of one layer should have heads of one shape");
        block->cache_k = twin->cache_k;
        block->cache_v = twin->cache_v;
        block->cache_scale = twin->cache_scale;
        return CQ_OK;
    }
    if (cq__find_word(a, block->desc, CQ__W_REUSE).n)
        return cq__bind_lender(b, block, cq__find_word(a, block->desc, CQ__W_REUSE));
    block->cache_k = b->m->cache_dims;
    block->cache_v = block->cache_k + block->kv_heads * block->head_dim;
    b->m->cache_dims = block->cache_v + block->kv_heads * block->v_dim;
    block->cache_scale = b->m->cache_heads;
    b->m->cache_heads += 2 * block->kv_heads;
    return CQ_OK;
}

static cq_status cq__activation(cq__binder *b, cq_str expr, int64_t layer, cq_activation *act) {
    static const char *const words[] = {"silu", "swish", "gelu", "gelu_python", "gelu_pytorch_tanh", "gelu_new",
                                        "gelu_fast", "gelu_tanh", "gelu_accurate", "quick_gelu", "relu", "relu2",
                                        "xielu", "swiglu_limit", NULL};
    static const uint8_t acts[] = {CQ_ACT_SILU, CQ_ACT_SILU, CQ_ACT_GELU, CQ_ACT_GELU, CQ_ACT_GELU_TANH,
                                   CQ_ACT_GELU_TANH, CQ_ACT_GELU_TANH, CQ_ACT_GELU_TANH, CQ_ACT_GELU_TANH,
                                   CQ_ACT_QUICK_GELU, CQ_ACT_RELU, CQ_ACT_RELU2, CQ_ACT_XIELU, CQ_ACT_SWIGLU_LIMIT};
    size_t k = 0;
    cq_status st = cq__eval_choice(b->m, expr, layer, words,
                                   "activation should be silu, gelu, gelu_pytorch_tanh, quick_gelu, relu, relu2 or "
                                   "xielu", &k, b->err);
    *act = (cq_activation)acts[k];
    return st;
}
static cq_status cq__activation_of(cq__binder *b, cq_block *block) {
    cq_status st = cq__activation(b, cq__expr_of(b, block, CQ__W_ACT, "ACT"), (int64_t)block->layer, &block->act);
    if (!st) st = cq__real(b, block, CQ__W_LIMIT, &block->limit);
    if (block->limit > 0.0f) block->act = CQ_ACT_SWIGLU_LIMIT;
    return st;
}

static cq_status cq__numbers_experts(cq__binder *b, cq_block *block) {
    static const char *const scores[] = {"softmax", "sigmoid", "topk_softmax", "sparsemixer", NULL};
    static const char *const groups[] = {"max", "top2", NULL};
    const cq_arch *a = &b->m->arch;
    size_t choice = 0;
    bool found = false;
    cq_status st;
    CQ__TRY(cq__number(b, block, CQ__W_EXPERTS, "null", 16384, &block->experts));
    if (cq__find_word(a, block->desc, CQ__W_IDENTITY).n)
        CQ__TRY(cq__eval_size(b->m, cq__find_word(a, block->desc, CQ__W_IDENTITY), (int64_t)block->layer, 0, 16384,
                              &found, &block->identity, b->err));
    CQ__TRY(cq__number(b, block, CQ__W_TOP_K, "null", block->experts + block->identity, &block->top_k));
    block->latent = b->m->hidden;
    if (cq__find_word(a, block->desc, CQ__W_LATENT).n) {
        CQ__TRY(cq__eval_size(b->m, cq__find_word(a, block->desc, CQ__W_LATENT), (int64_t)block->layer, 1, CQ__MOST,
                              &found, &block->latent, b->err));
        if (!found) block->latent = b->m->hidden;
    }
    CQ__TRY(cq__number(b, block, CQ__W_INTER, "INTER", CQ__MOST, &block->inter));
    CQ__TRY(cq__activation_of(b, block));
    CQ__TRY(cq__choice(b, block, CQ__W_SCORE, scores, "score should be softmax, sigmoid, topk_softmax or sparsemixer",
                       &choice));
    block->score = (cq_score)choice;
    block->groups = block->top_groups = 1;
    if (cq__find_word(a, block->desc, CQ__W_GROUPS).n) {
        CQ__TRY(cq__eval_size(b->m, cq__find_word(a, block->desc, CQ__W_GROUPS), (int64_t)block->layer, 1, 16384,
                              &found, &block->groups, b->err));
        block->top_groups = block->groups;
        if (found && block->groups > 1 && cq__find_word(a, block->desc, CQ__W_TOP_GROUPS).n)
            CQ__TRY(cq__number(b, block, CQ__W_TOP_GROUPS, "null", block->groups, &block->top_groups));
        if (block->experts % block->groups || block->experts / block->groups * block->top_groups < block->top_k)
            return cq_fail_at(b->err, CQ_ERR_RANGE, "groups of experts should be equal, and hold enough",
                              "n_group", 7, UINT64_MAX, (int64_t)block->groups);
    }
    choice = 0;
    CQ__TRY(cq__choice(b, block, CQ__W_GROUP_SCORE, groups, "group_score should be max or top2", &choice));
    block->group_top2 = choice == 1;
    CQ__TRY(cq__truth_of(b, block, CQ__W_RENORM, &block->renorm));
    block->routed_scale = 1.0f;
    CQ__TRY(cq__real(b, block, CQ__W_ROUTED_SCALE, &block->routed_scale));
    block->router_scale = 1.0f;
    CQ__TRY(cq__real(b, block, CQ__W_ROUTER_SCALE, &block->router_scale));
    block->jitter = 0.01f;
    CQ__TRY(cq__real(b, block, CQ__W_JITTER, &block->jitter));
    block->late = cq__flag(a, block->desc, CQ__W_LATE);
    block->score_in = cq__flag(a, block->desc, CQ__W_SCORE_IN);
    block->pairs = cq__flag(a, block->desc, CQ__W_PAIRS);
    if (block->score == CQ_SCORE_SPARSEMIXER && block->top_k != 2)
        return cq_fail_at(b->err, CQ_ERR_UNSUPPORTED, "sparsemixer routes to two experts", "num_experts_per_tok", 19,
                          UINT64_MAX, (int64_t)block->top_k);
    found = cq__find_word(a, block->desc, CQ__W_S_INTER).n != 0;
    if (found)
        CQ__TRY(cq__eval_size(b->m, cq__find_word(a, block->desc, CQ__W_S_INTER), (int64_t)block->layer, 0, CQ__MOST,
                              &found, &block->s_inter, b->err));
    return CQ_OK;
}

static cq_status cq__numbers_recurrent(cq__binder *b, cq_block *block) {
    cq_model *m = b->m;
    size_t conv = 0, state = 0, back;
    cq_status st;
    switch (block->kind) {
    case CQ_BLOCK_MAMBA:
        CQ__TRY(cq__number(b, block, CQ__W_INNER, "null", CQ__MOST, &block->inner));
        CQ__TRY(cq__number(b, block, CQ__W_STATE, "null", 65536, &block->state_dim));
        CQ__TRY(cq__number(b, block, CQ__W_RANK, "null", CQ__MOST, &block->rank));
        conv = block->inner;
        state = block->inner * block->state_dim;
        break;
    case CQ_BLOCK_MAMBA2: {
        cq_str mults = cq__find_word(&m->arch, block->desc, CQ__W_MULTS);
        CQ__TRY(cq__number(b, block, CQ__W_HEADS, "null", 65536, &block->heads));
        CQ__TRY(cq__number(b, block, CQ__W_HEAD_DIM, "null", 65536, &block->head_dim));
        CQ__TRY(cq__number(b, block, CQ__W_GROUPS, "1", block->heads, &block->groups));
        CQ__TRY(cq__number(b, block, CQ__W_STATE, "null", 65536, &block->state_dim));
        block->dt_max = CQ__INFINITY;
        CQ__TRY(cq__real(b, block, CQ__W_DT_MIN, &block->dt_min));
        cq_str most = cq__find_word(&m->arch, block->desc, CQ__W_DT_MAX);
        if (most.n) { /* infinity is a bound too */
            cq__value v = cq__evaluate(m, most, (int64_t)block->layer, NULL, b->err, &st);
            if (st) return st;
            if (cq__is_number(v)) block->dt_max = v.f;
        }
        CQ__TRY(cq__truth_of(b, block, CQ__W_NORM_FIRST, &block->norm_first));
        for (size_t i = 0; i < 5; i++) {
            block->mults[i] = 1.0f;
            if (mults.n) {
                cq__value list = cq__evaluate(m, mults, (int64_t)block->layer, NULL, b->err, &st);
                uint32_t node;
                if (st) return st;
                node = list.type == CQ__NODE ? cq_json_child(&m->config, list.node) : 0;
                for (size_t k = 0; node && k < i; k++) node = cq_json_next(&m->config, node);
                if (!node || !cq_json_float(&m->config, node, &block->mults[i]))
                    return cq_fail_at(b->err, CQ_ERR_FORMAT, "key of config.json should be a list of five numbers",
                                      mults.p, mults.n, UINT64_MAX, INT64_MIN);
            }
        }
        if (block->heads % block->groups)
            return cq_fail_at(b->err, CQ_ERR_RANGE, "the heads of a mamba2 block should be a multiple of its groups",
                              "n_groups", 8, UINT64_MAX, (int64_t)block->groups);
        conv = block->heads * block->head_dim + 2 * block->groups * block->state_dim;
        state = block->heads * block->head_dim * block->state_dim;
        break;
    }
    case CQ_BLOCK_CONV: conv = m->hidden; break;
    case CQ_BLOCK_DELTA:
        CQ__TRY(cq__number(b, block, CQ__W_K_HEADS, "linear_num_key_heads", 65536, &block->kv_heads));
        CQ__TRY(cq__number(b, block, CQ__W_V_HEADS, "linear_num_value_heads", 65536, &block->heads));
        CQ__TRY(cq__number(b, block, CQ__W_K_DIM, "linear_key_head_dim", 4096, &block->head_dim));
        CQ__TRY(cq__number(b, block, CQ__W_V_DIM, "linear_value_head_dim", 4096, &block->v_dim));
        if (block->heads % block->kv_heads)
            return cq_fail_at(b->err, CQ_ERR_RANGE, "the value heads should be a multiple of the key heads",
                              "linear_num_key_heads", 20, UINT64_MAX, (int64_t)block->kv_heads);
        conv = 2 * block->kv_heads * block->head_dim + block->heads * block->v_dim;
        state = block->heads * block->head_dim * block->v_dim;
        break;
    default: /* lightning */
        CQ__TRY(cq__number(b, block, CQ__W_HEADS, "HEADS", 65536, &block->heads));
        CQ__TRY(cq__number(b, block, CQ__W_HEAD_DIM, "HEAD_DIM", 4096, &block->head_dim));
        state = block->heads * block->head_dim * block->head_dim;
        break;
    }
    if (block->kind != CQ_BLOCK_LIGHTNING) CQ__TRY(cq__number(b, block, CQ__W_KERNEL, "null", 64, &block->kernel));
    back = block->kernel ? block->kernel - 1 : 0;
    block->inner = block->kind == CQ_BLOCK_MAMBA ? block->inner : conv; /* channels of the convolution */
    if (!cq__mul(conv, back, &conv) || conv > SIZE_MAX / 8 - state || state > SIZE_MAX / 16)
        return cq_fail(b->err, CQ_ERR_RANGE, "the state is too large for this machine");
    block->state = m->state_dims;
    block->state_size = conv + state;
    m->state_dims += block->state_size;
    m->recurrent = true;
    return CQ_OK;
}

/* (out, in) of a role */
static void cq__role_dims(const cq_model *m, const cq_block *b, cq_role role, size_t *out, size_t *in) {
    size_t values = b->heads * b->v_dim, q = b->heads * b->head_dim * (b->q_gate ? 2 : 1),
           k = b->kv_heads * b->head_dim;
    size_t v = b->kv_heads * b->v_dim, ssm = b->heads * b->head_dim;
    *in = m->hidden;
    *out = m->hidden;
    switch (role) {
    case CQ_ROLE_Q: *out = q; break;
    case CQ_ROLE_K: *out = k; break;
    case CQ_ROLE_V: *out = v; break;
    case CQ_ROLE_QK: *out = q + k; break;
    case CQ_ROLE_KV: *out = k + v; break;
    case CQ_ROLE_QKV:
        *out = b->kind == CQ_BLOCK_DELTA ? 2 * k + values : b->kind == CQ_BLOCK_LIGHTNING ? 3 * ssm : q + k + v;
        break;
    case CQ_ROLE_OUT_GATE: *out = b->kind == CQ_BLOCK_LIGHTNING ? ssm : b->gate_head ? b->heads : values; break;
    case CQ_ROLE_O: *in = values; break;
    case CQ_ROLE_Q_A: *out = b->q_rank; break;
    case CQ_ROLE_KV_A: *out = b->kv_rank + b->rope_dim; break;
    case CQ_ROLE_Q_B:
        *out = q;
        *in = b->q_rank;
        break;
    case CQ_ROLE_KV_B:
        *out = b->heads * (b->nope + b->v_dim);
        *in = b->kv_rank;
        break;
    case CQ_ROLE_GATE:
    case CQ_ROLE_UP: *out = b->inter; break;
    case CQ_ROLE_GATE_UP: *out = 2 * b->inter; break;
    case CQ_ROLE_DOWN: *in = b->inter; break;
    case CQ_ROLE_ROUTER: *out = b->experts + b->identity; break;
    case CQ_ROLE_MIX2: *out = 2; break;
    case CQ_ROLE_EXPERT_IN: *out = b->latent; break;
    case CQ_ROLE_EXPERT_OUT: *in = b->latent; break;
    case CQ_ROLE_EXPERT_GATE:
    case CQ_ROLE_EXPERT_UP:
    case CQ_ROLE_EXPERT_GATE_UP:
        *out = role == CQ_ROLE_EXPERT_GATE_UP ? 2 * b->inter : b->inter;
        *in = b->latent;
        break;
    case CQ_ROLE_EXPERT_DOWN:
        *out = b->latent;
        *in = b->inter;
        break;
    case CQ_ROLE_SHARED_MIX: *out = 1; break;
    case CQ_ROLE_SHARED_GATE:
    case CQ_ROLE_SHARED_UP: *out = b->s_inter; break;
    case CQ_ROLE_SHARED_GATE_UP: *out = 2 * b->s_inter; break;
    case CQ_ROLE_SHARED_DOWN: *in = b->s_inter; break;
    case CQ_ROLE_IN:
        *out = b->kind == CQ_BLOCK_MAMBA2  ? 2 * ssm + 2 * b->groups * b->state_dim + b->heads
               : b->kind == CQ_BLOCK_MAMBA ? 2 * b->inner
                                           : 3 * m->hidden;
        break;
    case CQ_ROLE_X:
        *out = b->rank + 2 * b->state_dim;
        *in = b->inner;
        break;
    case CQ_ROLE_DT:
        *out = b->inner;
        *in = b->rank;
        break;
    case CQ_ROLE_OUT:
        *in = b->kind == CQ_BLOCK_MAMBA   ? b->inner
              : b->kind == CQ_BLOCK_DELTA ? values
              : b->kind == CQ_BLOCK_CONV  ? m->hidden
                                          : ssm;
        break;
    case CQ_ROLE_QKVZ: *out = 2 * k + 2 * values; break;
    case CQ_ROLE_BA: *out = 2 * b->heads; break;
    case CQ_ROLE_Z: *out = values; break;
    case CQ_ROLE_B:
    case CQ_ROLE_A: *out = b->heads; break;
    case CQ_ROLE_MID:
    case CQ_ROLE_MID2:
    case CQ_ROLE_COUNT: break;
    }
}

/* (rows, cols) of a parameter of a block */
static void cq__param_dims(const cq_block *b, size_t place, size_t *rows, size_t *cols) {
    bool mamba = b->kind == CQ_BLOCK_MAMBA;
    *rows = 1;
    *cols = 1;
    switch (b->kind) {
    case CQ_BLOCK_ATTENTION: *cols = place == CQ_PARAM_STREAM ? 1 : b->heads; break;
    case CQ_BLOCK_MOE: *cols = place == CQ_PARAM_STREAM ? 1 : b->experts + b->identity; break;
    case CQ_BLOCK_MLP: break;
    default:
        if (place == CQ_PARAM_CONV) {
            *rows = b->inner;
            *cols = b->kernel;
        } else if (place == CQ_PARAM_CONV_BIAS || (mamba && place == CQ_PARAM_D)) {
            *cols = b->inner;
        } else if (mamba && place == CQ_PARAM_A_LOG) {
            *rows = b->inner;
            *cols = b->state_dim;
        } else {
            *cols = b->heads;
        }
    }
}

/* (length, of how many parts) of a norm of a block */
static void cq__norm_dims(const cq_model *m, const cq_block *b, size_t place, size_t *n, size_t *count) {
    *count = 1;
    *n = m->hidden;
    if (place < CQ_NORM_Q) return;
    switch (b->kind) {
    case CQ_BLOCK_ATTENTION:
        if (place == CQ_NORM_SUB || place == CQ_NORM_V) {
            *n = place == CQ_NORM_V ? b->v_dim : b->heads * b->v_dim;
            return;
        }
        *count = b->qk_norm == CQ_QK_HEADS ? (place == CQ_NORM_Q ? b->heads : b->kv_heads) : 1;
        *n = b->qk_norm == CQ_QK_HEAD ? b->head_dim : (place == CQ_NORM_Q ? b->heads : b->kv_heads) * b->head_dim;
        return;
    case CQ_BLOCK_MLA: *n = place == CQ_NORM_Q ? b->q_rank : b->kv_rank; return;
    case CQ_BLOCK_MLP: *n = b->inter; return;
    case CQ_BLOCK_MOE: return;
    case CQ_BLOCK_MAMBA: *n = place == CQ_NORM_DT ? b->rank : b->state_dim; return;
    case CQ_BLOCK_DELTA: *n = b->v_dim; return;
    default: *n = b->heads * b->head_dim; return;
    }
}

/* ---- blocks ---- */
/* The number at the front of a text; returns its digits. Numbers beyond a billion are no order of anything. */
static size_t cq__order(const char *p, size_t len, size_t *out) {
    size_t i = 0;
    *out = 0;
    for (; i < len && i < 9 && p[i] >= '0' && p[i] <= '9'; i++) *out = *out * 10 + (size_t)(p[i] - '0');
    return i;
}
/* r3, r4: numbers, not expressions, so that cq_model_bound can count their matrices. It turns vectors of `width`, and
   of `other` (0: none). */
static cq_status cq__bind_online(cq__binder *b, cq_block *block, cq__word_id id, size_t width, size_t other) {
    cq_str v = cq__find_word(&b->m->arch, block->desc, id);
    cq_model *m = b->m;
    size_t n = 0, i = 0;
    cq_status st;
    if (v.n && cq__order(v.p, v.n, &n) != v.n)
        return cq_fail_at(b->err, CQ_ERR_FORMAT, "the order of an online rotation should be a number below a billion",
                          v.p, v.n, UINT64_MAX, INT64_MIN);
    if (!n) return CQ_OK;
    if (width % n || other % n)
        return cq_fail_at(b->err, CQ_ERR_RANGE, "the order of an online rotation should divide the width of what it "
                          "turns", v.p, v.n, UINT64_MAX, (int64_t)(width % n ? width : other));
    while (i < m->onlines && m->online[i].n != n) i++;
    if (i == m->onlines) {
        CQ__TRY(cq_hadamard_init(&m->online[i], n, b->arena, b->err));
        m->onlines++;
    }
    block->online = &m->online[i];
    return CQ_OK;
}
static cq_status cq__bind_r3(cq__binder *b, cq_block *block) {
    const cq_block *first = b->m->blocks, *o = block; /* o: whose keys it reads, if not only its own */
    cq_status st;
    CQ__TRY(cq__bind_online(b, block, CQ__W_R3, block->head_dim, 0));
    if (block->lender) o = first + (block->lender - 1);
    else if (block > first && block[-1].kind <= CQ_BLOCK_MLA && block[-1].cache_k == block->cache_k) o = block - 1;
    if (o->online == block->online) return CQ_OK;
    return cq_fail_at(b->err, CQ_ERR_FORMAT, "blocks that share their keys should have the same r3", "r3", 2,
                      UINT64_MAX, (int64_t)block->layer);
}

static cq_status cq__bind_numbers(cq__binder *b, cq_block *block) {
    const cq_arch *a = &b->m->arch;
    cq_status st;
    block->scale = block->in_scale = 1.0f;
    CQ__TRY(cq__real(b, block, CQ__W_SCALE, &block->scale));
    CQ__TRY(cq__real(b, block, CQ__W_IN_SCALE, &block->in_scale));
    CQ__TRY(cq__real(b, block, CQ__W_KEEP, &block->keep));
    block->text = cq__flag(a, block->desc, CQ__W_TEXT);
    switch (block->kind) {
    case CQ_BLOCK_ATTENTION:
    case CQ_BLOCK_MLA:
        CQ__TRY(cq__numbers_attention(b, block));
        return cq__bind_r3(b, block);
    case CQ_BLOCK_MLP:
        block->gate_scale = 1.0f;
        CQ__TRY(cq__real(b, block, CQ__W_GATE_SCALE, &block->gate_scale));
        CQ__TRY(cq__number(b, block, CQ__W_INTER, "INTER", CQ__MOST, &block->inter));
        CQ__TRY(cq__bind_online(b, block, CQ__W_R4, block->inter, 0));
        block->side = cq__flag(a, block->desc, CQ__W_SIDE_ROW);
        return cq__activation_of(b, block);
    case CQ_BLOCK_MOE:
        CQ__TRY(cq__numbers_experts(b, block));
        return cq__bind_online(b, block, CQ__W_R4, block->inter, block->s_inter);
    default: return cq__numbers_recurrent(b, block);
    }
}

/* Is a linear of an expert there, one by one? Then it is not looked for in one tensor for all. */
static bool cq__experts_apart(cq__binder *b, const cq_block *block) {
    cq_str up = cq__find_word(&b->m->arch, block->desc, CQ__W_E_UP), name;
    cq__place p;
    p.b = block;
    p.inside = true;
    if (!up.n) return false;
    if (!cq__find_word(&b->m->arch, block->desc, CQ__W_E_GATE_UP).n) return true;
    while (up.n) {
        name = cq__alternative(&up);
        cq__bind_name(b, p, cq__until(&name, "^!+"), 0, true);
        cq__bind_suffix(b, ".weight");
        if (cq__bind_look(b)) return true;
    }
    return false;
}

static cq_status cq__bind_block(cq__binder *b, cq_block *block) {
    cq_model *m = b->m;
    const cq_arch *a = &m->arch;
    bool apart = block->kind == CQ_BLOCK_MOE && cq__experts_apart(b, block), qk = true;
    cq__place p;
    cq_status st;
    size_t n = 0, column = 0;
    if (block->side && (!m->side.rows || block->inter != m->side_width))
        return cq_fail_at(b->err, CQ_ERR_FORMAT, "an mlp with side should be as wide as the statement side says",
                          "inter", 5, UINT64_MAX, (int64_t)block->inter);
    p.b = block;
    for (size_t pass = 0; pass < 2; pass++) { /* count the linears, then bind them */
        for (size_t id = 0; id < CQ__WORDS; id++) {
            const cq__word_row *row = &cq__word_table[id];
            cq_str v = cq__find_word(a, block->desc, (cq__word_id)id);
            cq_role role = (cq_role)row->place;
            size_t count = cq__is_expert(role) ? block->experts : 1, out, in;
            if (!v.n || row->type != CQ__LINEAR) continue;
            if (block->kind == CQ_BLOCK_MLA &&
                (block->q_rank ? role == CQ_ROLE_Q : role == CQ_ROLE_Q_A || role == CQ_ROLE_Q_B))
                continue;
            if (block->kind == CQ_BLOCK_MOE && (apart ? role == CQ_ROLE_EXPERT_GATE_UP
                                                      : role == CQ_ROLE_EXPERT_GATE || role == CQ_ROLE_EXPERT_UP))
                continue;
            if (block->kind == CQ_BLOCK_MOE && !block->s_inter &&
                (role == CQ_ROLE_SHARED_MIX || (role >= CQ_ROLE_SHARED_GATE && role <= CQ_ROLE_SHARED_DOWN)))
                continue; /* the description knows shared experts; this model has none */
            if (pass) {
                block->at[role] = (uint16_t)(block->linears + 1);
                cq__role_dims(m, block, role, &out, &in);
                p.inside = true;
                CQ__TRY(cq__bind_linear(b, p, v, role, count, out, in, block->lin + block->linears));
                block->lin[block->linears].column = column;
                if (!cq__roles[role].stream_out) column += out;
            }
            block->linears += count;
        }
        if (pass) break;
        n = block->linears;
        if (n > 65534) return cq_fail(b->err, CQ_ERR_RANGE, "too many experts in a block");
        if (n > b->linears) /* before memory is asked for */
            return cq_fail_at(b->err, CQ_ERR_FORMAT, "config.json promises more experts than there are tensors", NULL,
                              0, UINT64_MAX, (int64_t)block->experts);
        b->linears -= n;
        block->lin = (cq_linear *)cq_alloc(b->arena, n, sizeof(cq_linear));
        if (!block->lin) return cq_fail(b->err, CQ_ERR_MEMORY, "arena too small for the model");
        cq__fill(block->lin, 0, n * sizeof(cq_linear));
        block->linears = 0;
    }
    if (block->kind == CQ_BLOCK_ATTENTION) CQ__TRY(cq__truth_of(b, block, CQ__W_QK_IF, &qk));
    for (size_t id = 0; id < CQ__WORDS; id++) {
        const cq__word_row *row = &cq__word_table[id];
        cq_str v = cq__find_word(a, block->desc, (cq__word_id)id);
        if (!v.n) continue;
        if (row->type == CQ__NORM) {
            size_t count, length;
            if ((id == CQ__W_Q_NORM || id == CQ__W_K_NORM) && !qk) continue;
            if (block->kind == CQ_BLOCK_MLA && id == CQ__W_Q_A_NORM && !block->q_rank) continue;
            cq__norm_dims(m, block, row->place, &length, &count);
            p.inside = row->place >= CQ_NORM_Q;
            CQ__TRY(cq__bind_norm(b, p, v, length, count, &block->norm[row->place]));
        } else if (row->type == CQ__PARAM) {
            size_t rows, cols;
            cq__param_dims(block, row->place, &rows, &cols);
            p.inside = id != CQ__W_STREAM;
            CQ__TRY(cq__bind_param(b, p, v, rows, cols, id == CQ__W_CHOICE_BIAS, &block->param[row->place],
                                   id == CQ__W_CONVOLUTION ? &block->param[CQ_PARAM_CONV_BIAS] : NULL));
        }
    }
    return CQ_OK;
}

/* Blocks of all lists and layers in execution order. Counts, or (blocks not NULL) says what each is. */
static cq_status cq__list_blocks(cq__binder *b, cq_block *blocks, size_t *count) {
    cq_model *m = b->m;
    size_t n = 0;
    cq_status st;
    for (size_t list = 0; list < m->arch.lists; list++) {
        cq_str expr = m->arch.list[list].expr.n ? m->arch.list[list].expr : cq__lit("LAYERS");
        size_t layers = 0;
        CQ__TRY(cq__eval_size(m, expr, -1, list ? 0 : 1, CQ__MOST, NULL, &layers, b->err));
        if (layers > 4096) {
            cq_str key = expr;
            (void)cq__evaluate(m, expr, -1, &key, NULL, &st);
            return cq_fail_at(b->err, CQ_ERR_RANGE, "a model has at most 4096 layers", key.p, key.n, UINT64_MAX,
                              (int64_t)layers);
        }
        /* every layer has tensors: a config.json that promises more is refused before memory is asked for */
        if (layers > b->weights->count) {
            cq_str key = expr;
            (void)cq__evaluate(m, expr, -1, &key, NULL, &st);
            return cq_fail_at(b->err, CQ_ERR_FORMAT, "config.json promises more layers than there are tensors", key.p,
                              key.n, UINT64_MAX, (int64_t)layers);
        }
        if (!blocks) m->layers += layers;
        for (size_t layer = 0; layer < layers; layer++) {
            cq_block *last = NULL, *lead = NULL; /* lead: of those beside each other the first */
            bool late = false, alone = true;     /* alone: all of these only add to the stream */
            for (size_t k = 0; !list && !blocks && k < m->arch.needs; k++) {
                bool good = true;
                CQ__TRY(cq__eval_bool(m, m->arch.need[k], (int64_t)layer, &good, b->err));
                if (!good)
                    return cq_fail_at(b->err, CQ_ERR_UNSUPPORTED,
                                      "config.json asks for what the description does not cover",
                                      m->arch.need[k].p, m->arch.need[k].n, UINT64_MAX, (int64_t)layer);
            }
            for (size_t i = 0; i < m->arch.blocks; i++) {
                cq_str only = cq__find_word(&m->arch, i, CQ__W_IF);
                bool on = true;
                if (m->arch.block[i].list != list) continue;
                if (only.n) CQ__TRY(cq__eval_bool(m, only, (int64_t)layer, &on, b->err));
                if (!on) continue;
                if (blocks) {
                    cq_block *block = &blocks[n];
                    cq__fill(block, 0, sizeof *block);
                    block->kind = m->arch.block[i].kind;
                    block->desc = i;
                    block->list = list;
                    block->layer = layer;
                    block->beside = cq__flag(&m->arch, i, CQ__W_BESIDE) && last;
                    if (block->beside && !last->beside) last->leads = true;
                    if (cq__flag(&m->arch, i, CQ__W_LATE)) late = true;
                    bool joint = cq__find_word(&m->arch, i, CQ__W_JOINT).n != 0;
                    if (!block->beside) lead = block;
                    if (!block->beside) alone = true;
                    if (cq__find_word(&m->arch, i, CQ__W_KEEP).n || cq__find_word(&m->arch, i, CQ__W_AFTER).n ||
                        cq__flag(&m->arch, i, CQ__W_LATE))
                        alone = false;
                    if (lead->apart || (joint && (!block->beside || !alone)))
                        return cq_fail_at(b->err, CQ_ERR_FORMAT,
                                          "joint: only in the last of blocks beside each other, which only add to x",
                                          "joint", 5, UINT64_MAX, (int64_t)layer);
                    if (cq__find_word(&m->arch, i, CQ__W_STREAM).n) alone = false;
                    lead->apart = joint;
                    last = block;
                }
                n++;
            }
            if (late) last->adds_late = true;
        }
    }
    if (n > b->weights->count)
        return cq_fail_at(b->err, CQ_ERR_FORMAT, "config.json promises more blocks than there are tensors", NULL, 0,
                          UINT64_MAX, (int64_t)n);
    *count = n;
    return CQ_OK;
}

/* ---- the model ---- */
static cq_status cq__bind_ids(cq_model *m, cq_error *err) {
    static const char *const keys[4] = {"mask_token_id", "eos_token_id", "pad_token_id", "bos_token_id"};
    const cq_json *c = &m->config;
    int32_t *ids[4];
    ids[0] = &m->mask_id;
    ids[1] = &m->eos_id;
    ids[2] = &m->pad_id;
    ids[3] = &m->bos_id;
    for (size_t i = 0; i < 4; i++) {
        uint32_t node = cq__key(m, cq__lit(keys[i]));
        int64_t v = 0;
        bool found;
        *ids[i] = -1;
        if (node && cq_json_kind(c, node) == CQ_JSON_ARRAY) node = cq_json_child(c, node); /* several eos: the first */
        if (!node || cq_json_is_null(c, node)) continue;
        found = cq_json_int(c, node, &v);
        if (!found || v < -1 || v >= (int64_t)m->vocab) {
            if (i) continue; /* some checkpoints name ids outside their table; only the mask is needed to run */
            return cq_fail_at(err, CQ_ERR_RANGE, "token id of config.json should be below vocab_size", keys[i],
                              cq__strlen(keys[i]), UINT64_MAX, found ? v : INT64_MIN);
        }
        *ids[i] = (int32_t)v;
    }
    if (m->arch.diffusion && m->mask_id < 0) { /* then it must be, and a description may know it */
        uint32_t node = cq__key(m, cq__lit(keys[0]));
        size_t mask;
        cq_status st;
        if (node && !cq_json_is_null(c, node)) /* -1 */
            return cq_fail_at(err, CQ_ERR_MISSING, "config.json lacks a key", keys[0], cq__strlen(keys[0]), UINT64_MAX,
                              INT64_MIN);
        CQ__TRY(cq__eval_size(m, cq__lit("MASK"), -1, 0, m->vocab - 1, NULL, &mask, err));
        m->mask_id = (int32_t)mask;
    }
    return CQ_OK;
}

/* Does some expression of the description speak of 'word'? */
static bool cq__mentions(const cq_arch *a, cq_str word) {
    size_t total = a->words + a->lets + a->needs;
    for (size_t i = 0; i < total; i++) {
        cq_str e = i < a->words             ? a->word[i].value
                   : i < a->words + a->lets ? a->let[i - a->words].expr
                                            : a->need[i - a->words - a->lets];
        for (size_t k = 1; k + word.n < e.n; k++)
            if (e.p[k - 1] == '\'' && e.p[k + word.n] == '\'' && cq__equal(e.p + k, word.p, word.n)) return true;
    }
    return false;
}
/* Kinds of layers, as config.json lists them: one that the description has no word for is not taken for another. */
static cq_status cq__bind_kinds(const cq_model *m, cq_error *err) {
    static const char *const keys[] = {"layer_types", "layers_block_type", "mlp_layer_types", "block_types"};
    static const char *const usual[] = {"full_attention", "attention", "dense", "global"};
    const cq_json *c = &m->config;
    for (size_t k = 0; k < 4; k++) {
        uint32_t list = cq__key(m, cq__lit(keys[k]));
        if (!list || cq_json_kind(c, list) != CQ_JSON_ARRAY) continue;
        for (uint32_t e = cq_json_child(c, list); e; e = cq_json_next(c, e)) {
            bool known = cq_json_kind(c, e) != CQ_JSON_STRING;
            cq_str word = cq__str(c->text + c->nodes[e].begin, c->nodes[e].end - c->nodes[e].begin);
            for (size_t u = 0; u < 4; u++) known = known || cq__str_eq(word, usual[u]);
            if (!known && !cq__mentions(&m->arch, word))
                return cq_fail_at(err, CQ_ERR_UNSUPPORTED, "a kind of layer that the description does not know", word.p,
                                  word.n, c->nodes[e].begin, INT64_MIN);
        }
    }
    return CQ_OK;
}

/* The text model's part of config.json, and the first root under which the embedding is found. */
static void cq__bind_roots(cq__binder *b) {
    cq_model *m = b->m;
    cq_str v;
    cq__words w;
    cq__place top;
    top.b = NULL;
    top.inside = false;
    w.text = m->arch.config.p;
    w.at = 0;
    w.end = m->arch.config.n;
    for (v = cq__word(&w); v.n && !m->text_config; v = cq__word(&w)) {
        uint32_t node = cq__key_in(&m->config, 0, v);
        if (node && cq_json_kind(&m->config, node) == CQ_JSON_OBJECT) m->text_config = node;
    }
    w.text = m->arch.root.p;
    w.at = 0;
    w.end = m->arch.root.n;
    for (v = cq__word(&w); v.n; v = cq__word(&w)) {
        cq_str first = m->root;
        m->root = v;
        cq__bind_name(b, top, m->arch.embed, 0, false);
        cq__bind_suffix(b, ".weight");
        if (cq__bind_look(b)) return;
        if (first.n) m->root = first;
    }
}

/* side PATH: the table with a row for each layer, and what is added to it */
static cq_status cq__bind_side(cq__binder *b) {
    cq_model *m = b->m;
    const cq_arch *a = &m->arch;
    const cq_named *t;
    cq__place top;
    size_t rows, wide;
    bool on = true;
    cq_status st;
    cq_str v = cq__find_word(a, CQ__AT_SIDE, CQ__W_IF);
    top.b = NULL;
    top.inside = false;
    if (a->side.n && v.n) CQ__TRY(cq__eval_bool(m, v, -1, &on, b->err));
    if (!a->side.n || !on) return CQ_OK;
    if (a->lists > 1) return cq_fail(b->err, CQ_ERR_FORMAT, "the statement side wants one list of layers");
    v = cq__find_word(a, CQ__AT_SIDE, CQ__W_WIDTH);
    CQ__TRY(cq__eval_size(m, v.n ? v : cq__lit("null"), -1, 1, 65536, NULL, &m->side_width, b->err));
    v = cq__find_word(a, CQ__AT_SIDE, CQ__W_ROWS);
    CQ__TRY(cq__eval_size(m, v.n ? v : cq__lit("VOCAB"), -1, 1, CQ__MOST, NULL, &rows, b->err));
    wide = m->layers * m->side_width;
    cq__bind_name(b, top, a->side, 0, false);
    cq__bind_suffix(b, ".weight");
    t = cq__bind_look(b);
    if (!t) return cq__bind_missing(b);
    CQ__TRY(cq__bind_matrix(b, t, &m->side, rows, wide, false));
    m->side_stored = t;
    m->side_scale = m->side_in_scale = m->side_sum_scale = 1.0f;
    v = cq__find_word(a, CQ__AT_SIDE, CQ__W_SCALE);
    if (v.n) CQ__TRY(cq__eval_real(m, v, -1, &m->side_scale, b->err));
    v = cq__find_word(a, CQ__AT_SIDE, CQ__W_IN_SCALE);
    if (v.n) CQ__TRY(cq__eval_real(m, v, -1, &m->side_in_scale, b->err));
    v = cq__find_word(a, CQ__AT_SIDE, CQ__W_SUM_SCALE);
    if (v.n) CQ__TRY(cq__eval_real(m, v, -1, &m->side_sum_scale, b->err));
    v = cq__find_word(a, CQ__AT_SIDE, CQ__W_IN);
    if (!v.n) return CQ_OK;
    CQ__TRY(cq__bind_linear(b, top, v, CQ_ROLE_IN, 1, wide, m->hidden, &m->side_in));
    v = cq__find_word(a, CQ__AT_SIDE, CQ__W_NORM);
    return v.n ? cq__bind_norm(b, top, v, m->side_width, 1, &m->side_norm) : CQ_OK;
}

static cq_status cq__bind_ends(cq__binder *b) {
    cq_model *m = b->m;
    const cq_arch *a = &m->arch;
    const cq_named *t;
    cq__place top;
    cq_str v, key;
    size_t width;
    bool found, tie = false, on = false;
    cq_status st;
    top.b = NULL;
    top.inside = false;
    m->embed_scale = m->head_scale = 1.0f;
    cq__bind_name(b, top, a->embed, 0, false);
    cq__bind_suffix(b, ".weight");
    t = cq__bind_look(b);
    if (!t) return cq__bind_missing(b);
    v = cq__find_word(a, CQ__AT_EMBED, CQ__W_IN);
    width = v.n && t->ndim == 2 ? t->t.cols : m->hidden;
    size_t rows = m->vocab;
    key = cq__find_word(a, CQ__AT_EMBED, CQ__W_ROWS);
    if (key.n) CQ__TRY(cq__eval_size(m, key, -1, 1, CQ__MOST, NULL, &rows, b->err));
    key = cq__find_word(a, CQ__AT_HEAD, CQ__W_ROWS);
    CQ__TRY(cq__bind_matrix(b, t, &m->embed, rows, width, false));
    if (key.n) CQ__TRY(cq__eval_size(m, key, -1, 1, CQ__MOST, NULL, &m->vocab, b->err));
    m->embed_stored = t;
    if (v.n && width != m->hidden) {
        CQ__TRY(cq__bind_linear(b, top, v, CQ_ROLE_IN, 1, m->hidden, width, &m->embed_in));
    }
    v = cq__find_word(a, CQ__AT_EMBED, CQ__W_SCALE);
    if (v.n) CQ__TRY(cq__eval_real(m, v, -1, &m->embed_scale, b->err));
    v = cq__find_word(a, CQ__AT_EMBED, CQ__W_NORM);
    if (v.n) CQ__TRY(cq__bind_norm(b, top, v, m->hidden, 1, &m->embed_norm));
    for (size_t i = 0; i < a->inputs; i++) {
        on = true;
        v = cq__find_word(a, CQ__AT_INPUT + i, CQ__W_IF);
        if (v.n) CQ__TRY(cq__eval_bool(m, v, -1, &on, b->err));
        if (!on) continue;
        v = cq__find_word(a, CQ__AT_INPUT + i, CQ__W_WIDTH);
        CQ__TRY(cq__eval_size(m, v.n ? v : cq__lit("HIDDEN"), -1, 1, CQ__MOST, NULL, &width, b->err));
        CQ__TRY(cq__bind_linear(b, top, a->input[i], CQ_ROLE_IN, 1, m->hidden, width, &m->input[i]));
    }
    if (a->codebook.n) {
        v = cq__find_word(a, CQ__AT_CODEBOOK, CQ__W_WIDTH);
        CQ__TRY(cq__eval_size(m, v.n ? v : cq__lit("HIDDEN"), -1, 1, CQ__MOST, NULL, &width, b->err));
        v = cq__find_word(a, CQ__AT_CODEBOOK, CQ__W_ROWS);
        CQ__TRY(cq__eval_size(m, v.n ? v : cq__lit("VOCAB"), -1, 1, m->vocab, NULL, &m->codebook_rows, b->err));
        CQ__TRY(cq__bind_linear(b, top, a->codebook, CQ_ROLE_IN, 1, m->hidden, width, &m->codebook));
    }
    width = m->embed.cols;
    on = false;
    m->sinusoid = cq__str_eq(a->position, "sinusoid");
    v = cq__find_word(a, CQ__AT_POSITION, CQ__W_OFFSET);
    if (v.n) CQ__TRY(cq__eval_size(m, v, -1, 0, CQ__MOST, &found, &m->position_offset, b->err));
    v = cq__find_word(a, CQ__AT_POSITION, CQ__W_STEPS);
    m->sinusoid_steps = m->hidden / 2 - 1;
    if (v.n) CQ__TRY(cq__eval_size(m, v, -1, 1, CQ__MOST, &found, &m->sinusoid_steps, b->err));
    if (a->position.n && !m->sinusoid && !cq__str_eq(a->position, "none")) {
        cq__bind_name(b, top, a->position, 0, false);
        cq__bind_suffix(b, ".weight");
        t = cq__bind_look(b);
        if (!t) return cq__bind_missing(b);
        CQ__TRY(cq__bind_matrix(b, t, &m->position, t->t.rows, m->hidden, false));
        m->position_stored = t;
    }
    bool normed = a->norm.n && !cq__str_eq(a->norm, "-");
    v = cq__find_word(a, CQ__AT_FINAL, CQ__W_IF);
    if (normed && v.n) CQ__TRY(cq__eval_bool(m, v, -1, &normed, b->err));
    if (normed) CQ__TRY(cq__bind_norm(b, top, a->norm, m->hidden, 1, &m->norm));
    bool absent = cq__str_eq(a->tie, "absent"); /* the head is the embedding if it is not there */
    if (!absent) CQ__TRY(cq__eval_bool(m, a->tie, -1, &tie, b->err));
    m->tied = tie;
    v = cq__find_word(a, CQ__AT_HEAD, CQ__W_OUT);
    if (v.n && width != m->hidden) {
        CQ__TRY(cq__bind_linear(b, top, v, CQ_ROLE_OUT, 1, width, m->hidden, &m->head_out));
    }
    v = cq__find_word(a, CQ__AT_HEAD, CQ__W_DENSE);
    if (v.n) {
        CQ__TRY(cq__bind_linear(b, top, v, CQ_ROLE_IN, 1, m->hidden, m->hidden, &m->head_dense));
        v = cq__find_word(a, CQ__AT_HEAD, CQ__W_ACT);
        CQ__TRY(cq__activation(b, v.n ? v : cq__lit("ACT"), -1, &m->head_act));
        v = cq__find_word(a, CQ__AT_HEAD, CQ__W_NORM);
        if (v.n) CQ__TRY(cq__bind_norm(b, top, v, m->hidden, 1, &m->head_norm));
    }
    v = cq__find_word(a, CQ__AT_HEAD, CQ__W_HEAD_BIAS);
    if (v.n) CQ__TRY(cq__eval_bool(m, v, -1, &on, b->err));
    key = a->head;
    v = cq__until(&key, "|");
    for (;;) { /* alternatives: the first that is there */
        m->head.name = v;
        cq__bind_name(b, top, v, 0, false);
        cq__bind_suffix(b, ".weight");
        t = cq__bind_look(b);
        if (t || !key.n) break;
        key = cq__str(key.p + 1, key.n - 1);
        v = cq__until(&key, "|");
    }
    m->head.keep = true;
    if (absent && !t) m->tied = true;
    if (m->tied) {
        m->head.w = m->embed;
        if (m->head.w.rows > m->vocab && m->head.w.layout == CQ_ROWS) m->head.w.rows = m->vocab;
        if (m->head.w.rows != m->vocab)
            return cq__bind_fail(b, CQ_ERR_FORMAT, "a tied embedding should have as many rows as the vocabulary",
                                 (int64_t)m->embed.rows);
        if (t) cq__bind_use(b, t, 0); /* a tied head in the file is the embedding once more */
    } else {
        if (!t) {
            key = a->head;
            m->head.name = cq__until(&key, "|");
            cq__bind_name(b, top, m->head.name, 0, false);
            cq__bind_suffix(b, ".weight");
            return cq__bind_missing(b);
        }
        m->head.stored = t;
        CQ__TRY(cq__bind_matrix(b, t, &m->head.w, m->vocab, width, false));
    }
    if (on) CQ__TRY(cq__bind_bias(b, top, m->head.name, ".bias", 0, false, cq__lit("+"), 1, m->vocab, &m->head));
    v = cq__find_word(a, CQ__AT_HEAD, CQ__W_SCALE);
    if (v.n) CQ__TRY(cq__eval_real(m, v, -1, &m->head_scale, b->err));
    v = cq__find_word(a, CQ__AT_HEAD, CQ__W_SOFTCAP);
    if (v.n) CQ__TRY(cq__eval_real(m, v, -1, &m->head_softcap, b->err));
    v = cq__find_word(a, CQ__AT_HEAD, CQ__W_NORMALIZE);
    if (v.n) CQ__TRY(cq__eval_bool(m, v, -1, &m->head_normalize, b->err));
    return CQ_OK;
}

/* Does a pattern of these lines match? In patterns '.' at the front is the root, and # the number of layers: the first
   layer beyond them, where multi-token prediction stands. */
static bool cq__globbed(const cq_model *m, const cq_str *lines, size_t n, const char *name, size_t len) {
    char pattern[256];
    for (size_t i = 0; i < n; i++) {
        cq__words w;
        w.text = lines[i].p;
        w.at = 0;
        w.end = lines[i].n;
        for (cq_str v = cq__word(&w); v.n; v = cq__word(&w)) {
            pattern[0] = 0;
            size_t at = cq__append_path(pattern, sizeof pattern, 0, m, v, m->layers);
            if (cq_glob(pattern, at, name, len)) return true;
        }
    }
    return false;
}

/* How a tensor of a front end touches the stream. */
typedef enum cq__carry {
    CQ__NOT_CARRIED, CQ__CARRY_UNKNOWN, CQ__CARRY_APART, /* it does not */
    CQ__CARRY_WRITES, CQ__CARRY_ROWS                     /* (hidden, n) writes it; (n, hidden) are vectors of it */
} cq__carry;
static cq__carry cq__carried(const cq_model *m, const cq_named *n) {
    char pattern[256];
    size_t module = n->name_len; /* without .weight or .bias */
    for (size_t k = 5; k <= 7; k += 2)
        if (module > k && cq__str_eq(cq__str(n->name + module - k, k), k == 5 ? ".bias" : ".weight")) {
            module -= k;
            break;
        }
    for (size_t i = m->arch.carries; i-- > 0;) { /* what a description says itself before what it is like */
        cq__words w;
        w.text = m->arch.carry[i].p;
        w.at = 0;
        w.end = m->arch.carry[i].n;
        for (cq_str v = cq__word(&w); v.n; v = cq__word(&w)) {
            cq_str glob = cq__until(&v, "=");
            size_t at = cq__append_path(pattern, sizeof pattern, 0, m, glob, m->layers);
            if (!cq_glob(pattern, at, n->name, n->name_len)) continue;
            if (!v.n) return CQ__CARRY_UNKNOWN;
            while (v.n) {
                v = cq__str(v.p + 1, v.n - 1);
                cq_str name = cq__until(&v, ",");
                bool rows = name.n && name.p[name.n - 1] == '^';
                if (!cq_glob(name.p, name.n - rows, n->name, module)) continue;
                if (!n->t.data || cq_format_is_coded(n->t.format) || !n->ndim || n->t.rows * n->t.cols % m->hidden ||
                    (rows ? n->t.cols : n->shape[0]) != m->hidden)
                    return CQ__CARRY_UNKNOWN;
                return rows ? CQ__CARRY_ROWS : CQ__CARRY_WRITES;
            }
            return CQ__CARRY_APART;
        }
    }
    return CQ__NOT_CARRIED;
}

/* Float arrays and little-endian tensors are the same bytes on little-endian machines; elsewhere they are turned. */
static void cq__floats_to_le(float *x, size_t n) {
    static const uint16_t one = 1;
    if (*(const unsigned char *)&one) return;
    for (size_t i = 0; i < n; i++) cq__put32((unsigned char *)(x + i), cq__bits(x[i]));
}

CQUANT_DEF cq_status cq_model_fold_codebook(cq_model *m, const cq_context *ctx, const float *codebook, size_t rows,
                                            cq_arena *arena, cq_error *err) {
    size_t hidden = m->hidden;
    float *table;
    if (!m->codebook.w.rows) return cq_fail(err, CQ_ERR_ARG, "this model has no codebook");
    if (rows != m->codebook_rows)
        return cq_fail_at(err, CQ_ERR_RANGE, "the codebook should have as many rows as config.json says", NULL, 0,
                          UINT64_MAX, (int64_t)rows);
    table = (float *)cq_alloc(arena, m->embed.rows, hidden * sizeof(float));
    if (!table) return arena->base ? cq_fail(err, CQ_ERR_MEMORY, "arena too small for the embedding") : CQ_OK;
    cq_matmul(ctx, table, hidden, &m->codebook.w, m->codebook.bias, codebook, m->codebook.w.cols, rows, false);
    for (size_t r = rows; r < m->embed.rows; r++) cq_tensor_row(&m->embed, r, table + r * hidden);
    cq__floats_to_le(table, m->embed.rows * hidden);
    (void)cq_tensor_init(&m->embed, CQ_F32, CQ_ROWS, m->embed.rows, hidden, 0, false, NULL);
    m->embed.data = (const unsigned char *)table;
    return CQ_OK;
}

/* bytes of the matrices that words r3=N and r4=N of a description ask for */
static size_t cq__online_bound(const char *text, size_t len) {
    size_t bytes = 0, n;
    cq_hadamard h;
    for (size_t i = 1; text && i + 3 < len; i++) {
        cq_arena dry = cq_arena_over(NULL, 0);
        if (!cq__blank(text[i - 1]) || (!cq__equal(text + i, "r3=", 3) && !cq__equal(text + i, "r4=", 3)) ||
            !cq__order(text + i + 3, len - i - 3, &n) || cq_hadamard_init(&h, n, &dry, NULL))
            continue;
        if (!cq__add(bytes, dry.used + 2 * CQ_ALIGN, &bytes)) return SIZE_MAX / 2; /* more than there is: no model */
    }
    return bytes;
}

CQUANT_DEF size_t cq_model_bound(size_t config_len, const cq_weights *weights, const char *arch_text, size_t arch_len) {
    size_t bytes = cq__online_bound(arch_text, arch_len), vectors = 0;
    for (size_t i = 0; i < weights->count; i++) { /* norms, biases and small parameters may be converted */
        const cq_named *n = &weights->list[i];
        if (n->ndim == 1 || n->t.cols <= 256) vectors += n->t.rows * n->t.cols * 4 + 2 * CQ_ALIGN;
    }
    /* every node of JSON takes at least one byte of text; a block has at least one tensor */
    bytes += config_len * (sizeof(cq_json_node) + sizeof(uint32_t)) +
             weights->count * (1 + sizeof(cq_block) + 4 * CQ_ALIGN) + cq__linear_bound(weights) * sizeof(cq_linear);
    return bytes + vectors + 4096 * 4 * 2 * (CQ_MAX_ROPES + 1) + 64 * CQ_ALIGN;
}

CQUANT_DEF cq_status cq_model_bind(cq_model *m, const char *config, size_t config_len, const cq_weights *weights,
                                   const char *arch_text, size_t arch_len, cq_arena *arena, cq_error *err) {
    cq__binder b;
    uint32_t type;
    bool found;
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
    cq_str name = cq__str(config + m->config.nodes[type].begin,
                          m->config.nodes[type].end - m->config.nodes[type].begin);
    if ((st = arch_text ? cq_arch_parse(&m->arch, arch_text, arch_len, err)
                        : cq_arch_find(&m->arch, name.p, name.n, err)) != CQ_OK)
        return st;
    if (m->arch.blocked.n)
        return cq_fail_at(err, CQ_ERR_UNSUPPORTED, "this architecture is described, but cannot run yet: it needs",
                          m->arch.blocked.p, m->arch.blocked.n, UINT64_MAX, INT64_MIN);
    b.m = m;
    b.weights = weights;
    b.arena = arena;
    b.err = err;
    b.name_len = 0;
    b.linears = cq__linear_bound(weights);
    b.used = (unsigned char *)cq_alloc(arena, weights->count, 1);
    if (!b.used) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for the model");
    cq__fill(b.used, 0, weights->count);
    m->weights = *weights;
    m->used = b.used;
    cq__bind_roots(&b);
    CQ__TRY(cq__eval_size(m, cq__lit("VOCAB"), -1, 1, CQ__MOST, NULL, &m->vocab, err));
    CQ__TRY(cq__eval_size(m, cq__lit("HIDDEN"), -1, 1, CQ__MOST, NULL, &m->hidden, err));
    CQ__TRY(cq__eval_size(m, cq__lit("CONTEXT"), -1, 1, CQ__MOST, &found, &m->context, err));
    if (m->arch.longest.n) CQ__TRY(cq__eval_size(m, m->arch.longest, -1, 1, CQ__MOST, &found, &m->longest, err));
    CQ__TRY(cq__bind_kinds(m, err));
    CQ__TRY(cq__list_blocks(&b, NULL, &m->block_count));
    m->blocks = (cq_block *)cq_alloc(arena, m->block_count, sizeof(cq_block));
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for the model");
    CQ__TRY(cq__list_blocks(&b, m->blocks, &m->block_count));
    for (size_t i = 0; i < m->block_count; i++) {
        CQ__TRY(cq__bind_numbers(&b, &m->blocks[i]));
        if (m->cache_dims > SIZE_MAX / 64 || m->state_dims > SIZE_MAX / 64)
            return cq_fail(err, CQ_ERR_RANGE, "the cache is too large for this machine");
    }
    CQ__TRY(cq__bind_ends(&b));
    CQ__TRY(cq__bind_side(&b));
    CQ__TRY(cq__bind_ids(m, err));
    for (size_t i = 0; i < m->block_count; i++) {
        CQ__TRY(cq__bind_block(&b, &m->blocks[i]));
        m->two_streams = m->two_streams || m->blocks[i].text;
    }
    if (m->two_streams && !m->input[0].w.rows)
        return cq_fail(err, CQ_ERR_FORMAT, "a description with a text stream needs an input for it");
    for (size_t i = 0; m->two_streams && i < m->block_count; i++)
        if (m->side.rows || m->blocks[i].lender)
            return cq_fail(err, CQ_ERR_FORMAT, "two streams go neither with side nor with reuse");
    for (size_t i = 0; i < weights->count; i++) {
        const cq_named *n = &weights->list[i];
        if (b.used[i] || cq__globbed(m, m->arch.ignore, m->arch.ignores, n->name, n->name_len) ||
            cq__carried(m, n) || cq__idle_bias(weights, n))
            continue;
        return cq_fail_at(err, CQ_ERR_FORMAT, "tensor is not part of the architecture that config.json names", n->name,
                          n->name_len, UINT64_MAX, INT64_MIN);
    }
    return CQ_OK;
}

/* Does an expression in this text ask for a key? */
static bool cq__asks(cq_str text, cq_str key) {
    for (size_t i = 0; i + key.n <= text.n; i++) {
        char before = i ? text.p[i - 1] : ' ', after = i + key.n < text.n ? text.p[i + key.n] : ' ';
        if (cq__letter(before) || cq__digit(before) || before == '\'' || before == '#' || cq__letter(after) ||
            cq__digit(after) || after == '\'' || after == '=')
            continue;
        if (cq__equal(text.p + i, key.p, key.n)) return true;
    }
    return false;
}
/* ... in the description of this model, or in the few places that read a key by themselves? */
static bool cq__model_asks(const cq_model *m, cq_str key) {
    static const char *const always =
        "model_type original_max_position_embeddings mask_token_id eos_token_id pad_token_id "
        "bos_token_id tie_word_embeddings rope_parameters layer_types mlp_layer_types block_types";
    const cq_arch *a = &m->arch;
    for (size_t i = 0; i < a->words; i++)
        if (cq__asks(a->word[i].value, key)) return true;
    for (size_t i = 0; i < a->lets; i++)
        if (cq__asks(a->let[i].expr, key)) return true;
    for (size_t i = 0; i < a->needs; i++)
        if (cq__asks(a->need[i], key)) return true;
    for (size_t i = 0; i < a->lists; i++)
        if (cq__asks(a->list[i].expr, key)) return true;
    return cq__asks(a->tie, key) || cq__asks(a->longest, key) || cq__asks(a->norm, key) || cq__asks(a->embed, key) ||
           cq__asks(a->side, key) ||
           cq__asks(cq__lit(always), key);
}
CQUANT_DEF bool cq_model_unasked(const cq_model *m, size_t index, cq_str *key) {
    const cq_json *c = &m->config;
    for (uint32_t k = cq_json_child(c, m->text_config); k; k = cq_json_next(c, k)) {
        uint32_t v = cq_json_child(c, k);
        float f = 2.0f; /* neither off nor neutral */
        bool known = false;
        (void)cq_json_float(c, v, &f);
        if (cq_json_kind(c, v) != CQ_JSON_NUMBER && cq_json_kind(c, v) != CQ_JSON_TRUE &&
            cq_json_kind(c, v) != CQ_JSON_STRING)
            continue;
        if (!(f > 0.0f || f < 0.0f) || !(f < 1.0f || f > 1.0f)) continue;
        *key = cq__str(c->text + c->nodes[k].begin, c->nodes[k].end - c->nodes[k].begin);
        if (cq__model_asks(m, *key)) continue;
        for (size_t i = 0; !known && cq_arch_builtin(i); i++) known = cq__asks(cq__lit(cq_arch_builtin(i)), *key);
        if (known && index-- == 0) return true;
    }
    return false;
}

CQUANT_DEF cq_status cq_model_open(cq_model *m, const cq_file *file, cq_arena *arena, cq_error *err) {
    const cq_bytes *config = &file->section[CQ_SECTION_CONFIG], *text = &file->section[CQ_SECTION_DESCRIPTION];
    return cq_model_bind(m, (const char *)config->data, config->size, &file->weights,
                         text->size ? (const char *)text->data : NULL, text->size, arena, err);
}

/* ===================================================================================================================
   [LESSON 6 the forward pass]
   One primitive serves prefill, decoding, and denoising: n rows are computed, their keys and values go to cache slots
   of the caller's choice, and each row then sees the visible slots. What is in the other slots stays as it was; that is
   all there is to a static cache. Recurrent mixers have a state instead, and only go forward.

   A model is a list of blocks; a block takes the stream x, and gives it back changed:

       h = pre(x) * in_scale            the norm before it; `beside`: of the stream as the block before it read it
       y = post(f(h)) * scale           f: attention, MLP, experts, a recurrent mixer
       x = after(x + y)                 or keep * pre(x) + y

   What a word of the description does is done in one place below, whichever architecture asks for it.
   ================================================================================================================== */
#define CQ__SLOTS 16u   /* tasks of attention that may run at once; each has its own scores */
#define CQ__QUERIES 8u  /* queries of one key head that go over its keys together */
#define CQ__TILE 4096u  /* floats of keys or values that they go over at a time: they stay in the L1 cache */

static size_t cq__larger(size_t a, size_t b) { return a > b ? a : b; }
/* floats of a row of projections */
static size_t cq__proj_dim(const cq_block *b) {
    size_t n = 0;
    if (b->kind == CQ_BLOCK_MOE) return 2 * (b->inter > b->s_inter ? b->inter : b->s_inter);
    if (b->side) return 2 * b->inter;
    for (size_t i = 0; i < b->linears; i++)
        if (!cq__roles[b->lin[i].role].stream_out) n = cq__larger(n, b->lin[i].column + b->lin[i].w.rows);
    return n;
}
/* floats of a row of a recurrent block beside its projections: what the convolution gives, and its output */
static size_t cq__work_dim(const cq_block *b) {
    return b->kind < CQ_BLOCK_MAMBA ? 0 : 2 * b->inner + b->heads * (b->head_dim + b->v_dim);
}

/* Scratch of online rotations: `elements` floats for each task that may run at once. */
static void cq__online_alloc(cq_session *s, size_t bytes, cq_arena *arena) {
    s->online_bytes = (bytes + CQ_ALIGN - 1) / CQ_ALIGN * CQ_ALIGN;
    s->online = NULL;
    if (bytes)
        s->online = (unsigned char *)cq_alloc(arena, s->ctx->parallel.run ? cq__min(CQ__SLOTS, s->desc.tile) : 1,
                                              s->online_bytes);
}

/* Does some linear of the model ask for its input in int8? */
static bool cq__rounds_acts(const cq_model *m) {
    for (size_t i = 0; i < m->weights.count; i++)
        if (m->weights.list[i].t.act_bits) return true;
    return false;
}
/* Does this linear read codes? */
static bool cq__reads_codes(const cq_session *s, const cq_linear *l) {
    unsigned bits = s->desc.act_bits ? s->desc.act_bits : l->w.act_bits;
    return bits && bits <= 8 && cq_format_has_q8(l->w.format);
}

/* acts: linears that ask for it may take the place of the model's */
static cq_status cq__session_layout(cq_session *s, const cq_context *ctx, const cq_model *m,
                                    const cq_session_desc *desc, size_t cache_dims, size_t state_dims, bool acts,
                                    cq_arena *hot, cq_arena *cold, cq_error *err) {
    size_t q = 0, mixed = 0, gate = 0, head = 0, cache, scores, experts = 0, latent = 0, top = 0, work = 0,
           widest = m->hidden, online = 0;
    bool held = false, apart = false, late = false;
    cq__fill(s, 0, sizeof *s);
    s->ctx = ctx;
    s->m = m;
    cq__copy(&s->desc, desc, sizeof s->desc);
    if (!desc->max_tokens) return cq_fail(err, CQ_ERR_ARG, "a session needs max_tokens");
    if (!s->desc.max_rows) s->desc.max_rows = desc->max_tokens;
    if (!s->desc.tile) s->desc.tile = 64;
    if (s->desc.max_rows > desc->max_tokens)
        return cq_fail(err, CQ_ERR_ARG, "a session cannot run more rows at once than it has cache slots");
    if (desc->cache != CQ_F32 && desc->cache != CQ_F16 && desc->cache != CQ_INT8)
        return cq_fail_at(err, CQ_ERR_ARG, "keys and values are kept as f32, f16 or int8", NULL, 0, UINT64_MAX,
                          (int64_t)desc->cache);
    if (desc->kv_bits && desc->cache == CQ_F16)
        return cq_fail_at(err, CQ_ERR_ARG, "keys and values of a number of bits are kept as int8, not f16", NULL, 0,
                          UINT64_MAX, (int64_t)desc->kv_bits);
    if (desc->kv_bits) s->desc.cache = CQ_INT8;
    bool wrong = desc->act_bits != CQ_ACTS_FLOAT && (desc->act_bits == 1 || desc->act_bits > 8);
    if (wrong || desc->kv_bits == 1 || desc->kv_bits > 8)
        return cq_fail_at(err, CQ_ERR_ARG, "activations, keys and values have 2 to 8 bits, or 0: as they are", NULL, 0,
                          UINT64_MAX, (int64_t)(wrong ? desc->act_bits : desc->kv_bits));
    s->desc.tile = cq__min(s->desc.tile, s->desc.max_rows);
    for (size_t i = 0; i < m->block_count; i++) {
        const cq_block *b = &m->blocks[i];
        s->proj_dim = cq__larger(s->proj_dim, cq__proj_dim(b));
        work = cq__larger(work, cq__work_dim(b));
        held = held || b->leads;
        late = late || b->late;
        for (size_t k = 0; k < b->linears; k++)
            widest = cq__larger(widest, cq__larger(b->lin[k].w.rows, b->lin[k].w.cols));
        if (b->kind == CQ_BLOCK_MOE) {
            experts = cq__larger(experts, b->experts + b->identity);
            latent = cq__larger(latent, b->latent);
            top = cq__larger(top, b->top_k);
        }
        if (b->kind > CQ_BLOCK_MLA) continue;
        q = cq__larger(q, b->heads * b->head_dim);
        mixed = cq__larger(mixed, b->heads * b->v_dim);
        apart = apart || b->head_dim != b->v_dim;
        head = cq__larger(head, cq__larger(b->head_dim, b->v_dim));
        if (b->at[CQ_ROLE_OUT_GATE] || b->q_gate) gate = cq__larger(gate, b->heads * b->v_dim);
        s->row_dim = cq__larger(s->row_dim, b->kv_heads * (b->head_dim + b->v_dim));
    }
    if (!cq__mul(s->desc.max_tokens, cache_dims, &cache) || !cq__mul(s->desc.max_tokens, 2 * CQ__QUERIES, &scores))
        return cq_fail(err, CQ_ERR_RANGE, "the cache is too large for this machine");
    s->score_dim = CQ__QUERIES * (s->desc.max_tokens + 1);
    if (s->desc.cache != CQ_F32 && head)
        s->score_dim += cq__min(cq__larger(CQ__TILE, head), s->desc.max_tokens * head); /* below cache */
    s->cache = (unsigned char *)cq_alloc(cold, cache, s->desc.cache == CQ_F32 ? 4 : s->desc.cache == CQ_F16 ? 2 : 1);
    if (s->desc.cache == CQ_INT8) {
        s->cache_scale = (float *)cq__alloc_2d(cold, s->desc.max_tokens, m->cache_heads, sizeof(float));
        cq_acts_alloc(&s->codes, hot, 1, head);
        s->codes.bits = desc->kv_bits ? desc->kv_bits : 8;
        cq_acts_alloc(&s->queries, hot, (ctx->parallel.run ? CQ__SLOTS : 1) * 2 * CQ__QUERIES, head);
    }
    s->state = (float *)cq_alloc(cold, state_dims, sizeof(float));
    s->x = (float *)cq_alloc(hot, s->desc.max_rows, m->hidden * sizeof(float));
    if (late) s->late = (float *)cq_alloc(hot, s->desc.max_rows, m->hidden * sizeof(float));
    if (held) s->held = (float *)cq_alloc(hot, s->desc.max_rows, m->hidden * sizeof(float));
    s->q = (float *)cq_alloc(hot, s->desc.max_rows, q * sizeof(float));
    s->mixed = apart ? (float *)cq_alloc(hot, s->desc.max_rows, mixed * sizeof(float)) : s->q;
    if (gate) s->gate = (float *)cq_alloc(hot, s->desc.max_rows, gate * sizeof(float));
    for (size_t i = 0; i < m->ropes; i++)
        s->angles[i] = (float *)cq_alloc(hot, s->desc.max_rows, m->rope[i].dim * sizeof(float));
    s->xn = (float *)cq_alloc(hot, s->desc.tile, cq__larger(m->hidden, m->embed.cols) * sizeof(float));
    s->proj = (float *)cq_alloc(hot, s->desc.tile, s->proj_dim * sizeof(float));
    s->y = (float *)cq_alloc(hot, s->desc.tile, cq__larger(m->hidden, m->embed.cols) * sizeof(float));
    s->row = (float *)cq_alloc(hot, s->row_dim, sizeof(float));
    if (s->row_dim)
        s->scores = (float *)cq__alloc_2d(hot, ctx->parallel.run ? CQ__SLOTS : 1, s->score_dim, sizeof(float));
    if (experts) /* see cq__run_experts */
        s->route = (float *)cq_alloc(hot, s->desc.tile * (experts + 2 * top + 4 + 2 * cq__larger(latent, m->hidden) +
                                                          2 * latent) + experts, sizeof(float));
    if (m->side.rows)
        s->side = (float *)cq__alloc_2d(hot, s->desc.max_rows + 1, m->side.cols, sizeof(float));
    if (work) s->work = (float *)cq_alloc(hot, s->desc.tile, work * sizeof(float));
    for (size_t i = 0; i < m->onlines; i++) online = cq__larger(online, cq_hadamard_scratch(&m->online[i]));
    cq__online_alloc(s, online, hot);
    if (desc->act_bits ? desc->act_bits <= 8 : acts || cq__rounds_acts(m)) {
        cq_acts_alloc(&s->acts, hot, s->desc.tile, widest);
        s->acts.bits = desc->act_bits ? desc->act_bits : 8;
    }
    if (hot->failed || cold->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for the session");
    return CQ_OK;
}
CQUANT_DEF cq_status cq_session_init(cq_session *s, const cq_context *ctx, const cq_model *m,
                                     const cq_session_desc *desc, cq_arena *hot, cq_arena *cold, cq_error *err) {
    return cq__session_layout(s, ctx, m, desc, m->cache_dims, m->state_dims, false, hot, cold, err);
}

/* ---- the rows of a pass ---- */
static size_t cq__slot_of(const cq_input *in, size_t r) { return in->slots ? in->slots[r] : in->slot + r; }
static size_t cq__visible(const cq_input *in) {
    return in->visible ? in->visible : in->n ? cq__slot_of(in, in->n - 1) + 1 : 0;
}
static int32_t cq__position(const cq_input *in, size_t r) {
    return in->positions ? in->positions[r] : in->text ? 0 : (int32_t)(cq__slot_of(in, r) - in->text_rows);
}

/* ---- progress ----
   A pass that is cancelled is walked to its end, but its products and its attention are left out: what is between them
   is little, and safe whatever it reads. */
static void cq__work_begin(cq_session *s, uint64_t operations) {
    s->done = 0;
    s->total = operations;
    s->cancelled = false;
}
static void cq__worked(cq_session *s, uint64_t operations) {
    if (!s->desc.progress || s->cancelled) return;
    s->done += operations;
    if (s->total < s->done) s->total = s->done; /* experts: only about so many rows go to each */
    s->cancelled = !s->desc.progress(s->desc.user, (size_t)(s->done >> 20), (size_t)(s->total >> 20));
}
static uint64_t cq__product_work(const cq_tensor *w, size_t n) { return 2 * (uint64_t)w->rows * w->cols * n; }
static uint64_t cq__attention_work(const cq_block *b, const cq_input *in) {
    if (b->kind > CQ_BLOCK_MLA) return 0;
    return 2 * (uint64_t)b->heads * (b->head_dim + b->v_dim) * in->n * cq__visible(in);
}
/* of all blocks of the stream */
static uint64_t cq__pass_work(const cq_session *s, const cq_input *in) {
    uint64_t sum = 0;
    for (size_t i = 0; s->desc.progress && i < s->m->block_count; i++) {
        const cq_block *b = &s->m->blocks[i];
        if (b->text != in->text) continue;
        sum += cq__attention_work(b, in);
        for (size_t k = 0; k < b->linears; k++) {
            bool routed = b->kind == CQ_BLOCK_MOE && cq__is_expert(b->lin[k].role);
            size_t rows = routed ? (in->n * b->top_k + b->experts - 1) / b->experts : in->n;
            sum += cq__product_work(&b->lin[k].w, rows);
        }
    }
    return sum;
}

/* y = W x + b over a tile of rows, in integers where the session and the weights allow it. The linears of a group share
   their quantised activations: whoever fills x anew sets acts_ready to false. */
static void cq__product(cq_session *s, const cq_linear *l, float *y, size_t ldy, const float *x, size_t ldx, size_t n,
                        bool add) {
    if (!cq__reads_codes(s, l)) {
        cq_matmul(s->ctx, y, ldy, &l->w, l->bias, x, ldx, n, add);
        return;
    }
    if (!s->acts_ready) cq_quantize_acts(s->ctx, &s->acts, x, ldx, n, l->w.cols);
    s->acts_ready = true;
    cq_matmul_q8(s->ctx, y, ldy, &l->w, l->bias, &s->acts, n, add);
}
/* The same in a block of a pass, where it may be cancelled. */
static void cq__linear(cq_session *s, const cq_linear *l, float *y, size_t ldy, const float *x, size_t ldx, size_t n,
                       bool add) {
    if (s->cancelled) return;
    cq__product(s, l, y, ldy, x, ldx, n, add);
    cq__worked(s, cq__product_work(&l->w, n));
}

/* ---- online rotations ----
   The rows that `down` is to read, turned by R4 in place; its weights hold the other half, W R4 [LESSON 8]. Where they
   are quantised next this is one pass: a row is turned without the factor 1/sqrt(n) and quantised while it is in the
   cache, and the factor goes into its scale. */
typedef struct cq__online_job {
    cq_session *s;
    const cq_hadamard *h;
    float *x;
    size_t ldx, rows, cols, slots;
    bool quantize;
} cq__online_job;
static void cq__online_task(void *arg, size_t slot) {
    const cq__online_job *job = (const cq__online_job *)arg;
    const cq_hadamard *h = job->h;
    cq_session *s = job->s;
    unsigned char *scratch = s->online ? s->online + slot * s->online_bytes : NULL;
    for (size_t r = slot; r < job->rows; r += job->slots) {
        float *x = job->x + r * job->ldx;
        for (size_t k = 0; k < job->cols; k += h->n) cq__transform_f32(s->ctx, h, x + k, 1, scratch, false);
        if (job->quantize) {
            cq__acts_row(s->ctx, &s->acts, x, r);
            s->acts.scale[r] = s->acts.scale[r] * h->scale_f32;
        } else {
            s->ctx->k->scale(x, x, NULL, h->scale_f32, job->cols);
        }
    }
}
/* tap: somebody looks at the rows, so they are what they stand for. s->acts_ready says whether they are quantised. */
static void cq__turn_online(cq_session *s, const cq_hadamard *h, const cq_linear *l, float *x, size_t ldx, size_t n,
                            const cq_tap *tap) {
    cq__online_job job;
    s->acts_ready = false;
    if (!h) return;
    job.s = s;
    job.h = h;
    job.x = x;
    job.ldx = ldx;
    job.rows = n;
    job.cols = l->w.cols;
    job.slots = s->ctx->parallel.run ? cq__min(CQ__SLOTS, n) : 1;
    job.quantize = cq__reads_codes(s, l) && !tap;
    if (job.quantize) cq__acts_shape(&s->acts, job.cols);
    cq_parallel_for(s->ctx, job.slots, cq__online_task, &job);
    s->acts_ready = job.quantize;
}

/* One row through a norm; y may be x. LayerNorm is RMSNorm of what is left without the mean. */
static void cq__norm_row(const cq_context *ctx, const cq_norm *norm, float *y, const float *x, size_t n) {
    if (norm->kind == CQ_NORM_LAYER) {
        float mean = cq_sum(ctx, x, n) / (float)n;
        for (size_t i = 0; i < n; i++) y[i] = x[i] - mean;
        x = y;
    }
    cq_rmsnorm(ctx, y, x, norm->gain, n, norm->eps);
    for (size_t i = 0; norm->bias && i < n; i++) y[i] = y[i] + cq__f32(norm->bias + 4 * i);
}

/* The stream as a block reads it */
static const float *cq__stream(const cq_session *s, const cq_block *b) {
    return b->beside || b->apart ? s->held : s->x;
}

/* The input of a block, a tile of rows, into s->xn */
static void cq__input_tile(cq_session *s, const cq_block *b, size_t r0, size_t n) {
    size_t hidden = s->m->hidden;
    const float *x = cq__stream(s, b) + r0 * hidden;
    const cq_norm *pre = &b->norm[CQ_NORM_PRE];
    for (size_t r = 0; r < n; r++) {
        float *y = s->xn + r * hidden;
        if (pre->on) cq__norm_row(s->ctx, pre, y, x + r * hidden, hidden);
        else cq__copy(y, x + r * hidden, hidden * sizeof(float));
        if (b->in_scale < 1.0f || b->in_scale > 1.0f)
            for (size_t i = 0; i < hidden; i++) y[i] = y[i] * b->in_scale;
    }
    s->acts_ready = false;
}

/* The output y (n, hidden) of a block joins the stream. */
static void cq__join(cq_session *s, const cq_block *b, float *y, size_t r0, size_t n) {
    size_t hidden = s->m->hidden;
    for (size_t r = 0; r < n; r++) {
        float *x = (b->late ? s->late : s->x) + (r0 + r) * hidden, *o = y + r * hidden;
        if (b->late) cq__fill(x, 0, hidden * sizeof(float));
        if (b->norm[CQ_NORM_POST].on) cq__norm_row(s->ctx, &b->norm[CQ_NORM_POST], o, o, hidden);
        if (b->keep < 0.0f || b->keep > 0.0f) {
            cq__norm_row(s->ctx, &b->norm[CQ_NORM_PRE], x, x, hidden);
            for (size_t i = 0; i < hidden; i++) x[i] = x[i] * b->keep;
        }
        cq_axpy(s->ctx, x, b->scale, o, hidden);
        if (b->norm[CQ_NORM_AFTER].on) cq__norm_row(s->ctx, &b->norm[CQ_NORM_AFTER], x, x, hidden);
    }
}
/* The last linear of a block, and its way to the stream. s->acts_ready says whether x is quantised already. */
static void cq__output(cq_session *s, const cq_block *b, cq_role role, const float *x, size_t ldx, size_t r0,
                       size_t n) {
    const cq_linear *l = cq_block_linear(b, role, 0);
    size_t hidden = s->m->hidden;
    bool plain = !b->norm[CQ_NORM_POST].on && !b->norm[CQ_NORM_AFTER].on && !(b->keep < 0.0f || b->keep > 0.0f) &&
                 !(b->scale < 1.0f || b->scale > 1.0f);
    cq__linear(s, l, plain ? s->x + r0 * hidden : s->y, hidden, x, ldx, n, plain);
    if (!plain) cq__join(s, b, s->y, r0, n);
}

/* ---- taps ---- */
static bool cq__stops(const cq_tap *tap, const cq_block *b, size_t group) {
    return tap && tap->block == b && tap->stop <= group; /* stop SIZE_MAX: never */
}
static void cq__tap_call(const cq_tap *tap, const cq_block *b, size_t group, size_t expert, const float *x, size_t ldx,
                         size_t rows, size_t first_row, const float *weight) {
    cq_tap_point p;
    if (!tap || !tap->fn || (tap->block && tap->block != b)) return;
    if (tap->stop != SIZE_MAX && tap->stop != group) return;
    p.block = b;
    p.group = group;
    p.expert = expert;
    p.x = x;
    p.ldx = ldx;
    p.rows = rows;
    p.first_row = first_row;
    p.weight = weight;
    tap->fn(tap->user, &p);
}

/* ---- positions ---- */
/* x of one head turned by its angles. Half: pairs (x[j], x[j + d/2]), as GPT-NeoX and its heirs have it; interleaved:
   pairs (x[2j], x[2j + 1]), as GPT-J has it; negative: half, turned the other way. */
static void cq__rope(const cq_context *ctx, float *x, const float *angles, size_t d, cq_rope_style style) {
    size_t half = d / 2;
    const float *c = angles, *s = angles + half;
    if (style == CQ_ROPE_HALF) ctx->k->turn(x, x + half, c, s, half);
    else if (style == CQ_ROPE_NEGATIVE) ctx->k->turn(x + half, x, c, s, half);
    else
        for (size_t j = 0; j < half; j++) {
            float a = x[2 * j], b = x[2 * j + 1];
            x[2 * j] = a * c[j] - b * s[j];
            x[2 * j + 1] = b * c[j] + a * s[j];
        }
}


CQUANT_DEF void cq_prepare(cq_session *s, const cq_input *in) {
    for (size_t t = 0; t < s->m->ropes; t++) {
        const cq_rope *rope = &s->m->rope[t];
        size_t half = rope->dim / 2, length = in->positions || in->text ? 0 : cq__visible(in) - in->text_rows;
        const float *freq = rope->inv_freq;
        float theta = 0.0f, scale = rope->scale; /* dynamic: the base for this length */
        for (size_t r = 0; r < in->n; r++) length = cq__larger(length, (size_t)cq__position(in, r) + 1);
        if (rope->limit && length > rope->limit) {
            if (rope->long_freq) {
                freq = rope->long_freq;
                scale = rope->long_scale;
            } else if (rope->dim > 2) {
                theta = rope->theta * cq_powf(rope->factor * (float)length / (float)rope->limit - (rope->factor - 1.0f),
                                              (float)rope->dim / (float)(rope->dim - 2));
            }
        }
        for (size_t r = 0; r < in->n; r++) {
            float position = (float)cq__position(in, r), *a = s->angles[t] + r * rope->dim;
            for (size_t j = 0; j < half; j++) {
                float f = theta > 0.0f ? 1.0f / cq_powf(theta, (float)(2 * j) / (float)rope->dim) : freq[j];
                cq_sincosf(position * f, a + half + j, a + j); /* the rounded product, as the reference */
                a[j] = a[j] * scale;
                a[half + j] = a[half + j] * scale;
            }
        }
    }
}

/* ALiBi: 2^(-8 (h + 1) / n) for the first n heads, n the largest power of two; the others lie between those */
static float cq__alibi_slope(size_t h, size_t heads) {
    size_t n = 1;
    while (2 * n <= heads) n *= 2;
    return h < n ? cq_powf(2.0f, -8.0f * (float)(h + 1) / (float)n)
                 : cq_powf(2.0f, -8.0f * (float)(2 * (h - n) + 1) / (float)(2 * n));
}

/* ---- the cache ----
   Of each block (kv_heads, max_tokens, dim) keys, then values. Attention reads floats: those of the cache itself, or a
   tile of it, unpacked for all queries that go over it; but int8 keys are used where they lie, see cq__attend_int8. */
/* Where the keys (or values) of a head and slot are, in elements. at: the block's cache_k or cache_v */
static size_t cq__cache_at(const cq_session *s, size_t at, size_t dim, size_t head, size_t slot) {
    return at * s->desc.max_tokens + (head * s->desc.max_tokens + slot) * dim;
}
/* x (dim): the keys or values of a head go to a slot. scale: which head it is among those of all blocks */
static void cq__cache_put(cq_session *s, size_t at, size_t scale, size_t dim, size_t head, size_t slot,
                          const float *x) {
    size_t to = cq__cache_at(s, at, dim, head, slot);
    if (s->desc.cache == CQ_F32) {
        cq__copy(s->cache + 4 * to, x, dim * sizeof(float));
    } else if (s->desc.cache == CQ_F16) {
        for (size_t i = 0; i < dim; i++) { /* infinite keys would make scores that are no numbers */
            float v = x[i] > 65504.0f ? 65504.0f : x[i] < -65504.0f ? -65504.0f : x[i];
            cq__put16(s->cache + 2 * (to + i), cq_f32_to_f16(v));
        }
    } else {
        cq__acts_shape(&s->codes, dim);
        cq__acts_row(s->ctx, &s->codes, x, 0);
        cq__copy(s->cache + to, s->codes.q, dim);
        s->cache_scale[scale * s->desc.max_tokens + slot] = s->codes.scale[0];
    }
}
/* (n, dim) floats of a head from a slot on; tile: room for them, used or not */
static const float *cq__cache_get(const cq_session *s, size_t at, size_t scale, size_t dim, size_t head, size_t slot,
                                  size_t n, float *tile) {
    size_t from = cq__cache_at(s, at, dim, head, slot);
    if (s->desc.cache == CQ_F32) return (const float *)(const void *)(s->cache + 4 * from);
    if (s->desc.cache == CQ_F16) s->ctx->k->from_f16(tile, s->cache + 2 * from, n * dim);
    else
        s->ctx->k->from_int8(tile, (const int8_t *)(const void *)(s->cache + from),
                             s->cache_scale + scale * s->desc.max_tokens + slot, dim, n);
    return tile;
}

/* ---- attention ---- */
typedef struct cq__attend_job {
    cq_session *s;
    const cq_block *b;
    const cq_input *in;
    size_t visible, tasks;
    size_t heads, rows;  /* of the queries of an item, at most CQ__QUERIES together */
    size_t cuts, blocks; /* pieces of the heads of a key head; of the rows */
    size_t items;        /* row after row of one piece of heads, then of the next: its keys stay in the cache */
} cq__attend_job;
typedef struct cq__attend_row { /* a row of an item: it sees the slots lo .. hi - 1 */
    size_t r, lo, hi;
} cq__attend_row;

static cq__attend_row cq__attend_sees(const cq__attend_job *job, size_t r) {
    const cq_block *b = job->b;
    const cq_input *in = job->in;
    size_t lo = 0, hi = job->visible, self = cq__slot_of(in, r);
    cq__attend_row row;
    if (!in->allow && !in->bias) {
        if (b->causal) hi = cq__min(hi, self + 1);
        if (b->window && self + 1 > b->window) lo = self + 1 - b->window;
        if (b->chunk) lo = cq__larger(lo, self / b->chunk * b->chunk);
        if (b->block) hi = cq__min(hi, (self / b->block + 1) * b->block);
    }
    if (b->own && !in->text) lo = cq__larger(lo, in->text_rows);
    if (b->own && job->s->desc.upstream_cache && in->n == 1) hi = cq__min(hi, lo + 1);
    row.r = r;
    row.lo = cq__min(lo, hi);
    row.hi = hi;
    return row;
}

/* Products of a query with its keys to what they weigh: scores (n + 1). false: nothing is seen. */
static bool cq__attend_weigh(const cq__attend_job *job, const cq__attend_row *row, size_t h, float *scores) {
    const cq_block *b = job->b;
    const cq_input *in = job->in;
    const cq_context *ctx = job->s->ctx;
    size_t lo = row->lo, n = row->hi - lo;
    ctx->k->scale(scores, scores, NULL, b->scale_qk, n);
    if (b->alibi) {
        float slope = cq__alibi_slope(h, b->heads) * b->alibi_scale;
        for (size_t i = 0; i < n; i++) scores[i] = scores[i] + slope * (float)(lo + i);
    }
    if (b->softcap > 0.0f)
        for (size_t i = 0; i < n; i++) scores[i] = b->softcap * cq_tanhf(scores[i] / b->softcap);
    if (in->bias)
        for (size_t i = 0; i < n; i++) scores[i] = scores[i] + in->bias[row->r * in->ld_mask + lo + i];
    if (in->keep || in->allow)
        for (size_t i = 0; i < n; i++)
            if ((in->keep && !in->keep[lo + i]) || (in->allow && !in->allow[row->r * in->ld_mask + lo + i]))
                scores[i] = -CQ__INFINITY;
    if (!b->param[CQ_PARAM_SINKS].data) return cq_softmax(ctx, scores, n);
    scores[n] = cq__f32(b->param[CQ_PARAM_SINKS].data + 4 * h); /* a logit that takes its share and has no value */
    return cq_softmax(ctx, scores, n + 1);
}

/* Some queries of one key head, of some rows, as one task sees them */
typedef struct cq__attend_part {
    cq__attend_row row[CQ__QUERIES];
    size_t rows, heads, kv, h0; /* rows * heads queries, the heads from h0 on */
    size_t first, end;          /* the slots that any of them sees */
    size_t ld;                  /* between the scores of two queries */
    float *scores, *tile;       /* (CQ__QUERIES, ld); room for unpacked keys and values */
} cq__attend_part;

/* Products with keys as floats, a tile of them at a time */
static void cq__attend_float(const cq__attend_job *job, const cq__attend_part *part) {
    const cq_session *s = job->s;
    const cq_block *b = job->b;
    size_t d = b->head_dim, most = cq__larger(1, CQ__TILE / d);
    for (size_t t = part->first; t < part->end; t += most) {
        size_t n = cq__min(most, part->end - t);
        const float *keys = cq__cache_get(s, b->cache_k, b->cache_scale + part->kv, d, part->kv, t, n, part->tile);
        for (size_t i = 0; i < part->rows * part->heads; i++) {
            const cq__attend_row *of = &part->row[i / part->heads];
            size_t lo = cq__larger(t, of->lo), hi = cq__min(t + n, of->hi);
            if (lo < hi)
                s->ctx->k->dots(part->scores + i * part->ld + (lo - of->lo),
                                s->q + (of->r * b->heads + part->h0 + i % part->heads) * d, keys + (lo - t) * d, d, d,
                                hi - lo);
        }
    }
}
/* Products with int8 keys where they lie. A query q becomes two rows of codes: s1 c1, which is q rounded, and s2 c2,
   what that leaves, rounded as well: together they are within 1/64516 of the largest of q, and scores as good as with
   q itself. (With c1 alone, queries would be as coarse as keys are: SmolLM2-135M's KL against a cache of floats
   was 50 % higher.)
   score = (c1 . key) (s1 scale) + (c2 . key) (s2 scale), both products exact. */
static void cq__attend_int8(const cq__attend_job *job, const cq__attend_part *part, size_t task) {
    const cq_session *s = job->s;
    const cq_block *b = job->b;
    const cq__kernels *k = s->ctx->k;
    const size_t d = b->head_dim, most = cq__larger(1, CQ__TILE / d), ld = s->queries.stride;
    const size_t padded = (d + CQ__BLOCK - 1) / CQ__BLOCK * CQ__BLOCK;
    int8_t *codes = s->queries.q + task * 2 * CQ__QUERIES * ld;
    int32_t *sum = s->queries.sum + task * 2 * CQ__QUERIES * (ld / CQ__BLOCK); /* not needed */
    float *scale = s->queries.scale + task * 2 * CQ__QUERIES, *rest = part->tile;
    for (size_t i = 0; i < part->rows * part->heads; i++) {
        const float *q = s->q + (part->row[i / part->heads].r * b->heads + part->h0 + i % part->heads) * d;
        int8_t *c = codes + 2 * i * ld;
        scale[2 * i] = k->quantize(c, sum, 1, q, d, padded);
        k->from_int8(rest, c, scale + 2 * i, d, 1);
        for (size_t e = 0; e < d; e++) rest[e] = q[e] - rest[e];
        scale[2 * i + 1] = k->quantize(c + ld, sum, 1, rest, d, padded);
    }
    for (size_t t = part->first; t < part->end; t += most) {
        size_t n = cq__min(most, part->end - t);
        for (size_t i = 0; i < part->rows * part->heads; i++) {
            const cq__attend_row *of = &part->row[i / part->heads];
            size_t lo = cq__larger(t, of->lo), hi = cq__min(t + n, of->hi);
            const int8_t *keys = (const int8_t *)s->cache + cq__cache_at(s, b->cache_k, d, part->kv, lo);
            const float *by = s->cache_scale + (b->cache_scale + part->kv) * s->desc.max_tokens + lo;
            float *out = part->scores + i * part->ld + (lo - of->lo);
            if (lo >= hi) continue;
            k->dots_q8(out, codes + 2 * i * ld, scale[2 * i], keys, d, by, d, hi - lo);
            k->dots_q8(rest, codes + (2 * i + 1) * ld, scale[2 * i + 1], keys, d, by, d, hi - lo);
            k->axpy(out, 1.0f, rest, hi - lo);
        }
    }
}

/* Scores over the visible keys, softmax, weighted values. All queries of a part go over a tile of keys together, then
   over a tile of values. Each adds up in the order of the slots, whatever the tile. */
static void cq__attend_item(const cq__attend_job *job, size_t task, size_t item) {
    cq_session *s = job->s;
    const cq_block *b = job->b;
    size_t vd = b->v_dim, per = b->heads / b->kv_heads, most = cq__larger(1, CQ__TILE / vd);
    size_t piece = item / job->blocks, cut = piece % job->cuts * job->heads, r0 = item % job->blocks * job->rows;
    cq__attend_part part;
    bool sees[CQ__QUERIES];
    part.ld = s->desc.max_tokens + 1;
    part.scores = s->scores + task * s->score_dim;
    part.tile = part.scores + CQ__QUERIES * part.ld;
    part.kv = piece / job->cuts;
    part.h0 = part.kv * per + cut;
    part.heads = cq__min(job->heads, per - cut);
    part.rows = cq__min(job->rows, job->in->n - r0);
    part.first = SIZE_MAX;
    part.end = 0;
    for (size_t i = 0; i < part.rows; i++) {
        part.row[i] = cq__attend_sees(job, r0 + i);
        part.first = cq__min(part.first, part.row[i].lo);
        part.end = cq__larger(part.end, part.row[i].hi);
    }
    if (s->desc.cache == CQ_INT8) cq__attend_int8(job, &part, task);
    else cq__attend_float(job, &part);
    const cq__attend_row *row = part.row;
    for (size_t i = 0; i < part.rows * part.heads; i++) /* the queries are done with: s->mixed may be s->q */
        sees[i] = cq__attend_weigh(job, &row[i / part.heads], part.h0 + i % part.heads, part.scores + i * part.ld);
    for (size_t i = 0; i < part.rows; i++)
        cq__fill(s->mixed + (row[i].r * b->heads + part.h0) * vd, 0, part.heads * vd * sizeof(float));
    for (size_t t = part.first; t < part.end; t += most) {
        size_t n = cq__min(most, part.end - t);
        const float *values =
            cq__cache_get(s, b->cache_v, b->cache_scale + b->kv_heads + part.kv, vd, part.kv, t, n, part.tile);
        for (size_t i = 0; i < part.rows * part.heads; i++) {
            const cq__attend_row *of = &row[i / part.heads];
            size_t lo = cq__larger(t, of->lo), hi = cq__min(t + n, of->hi);
            if (sees[i] && lo < hi)
                s->ctx->k->mix(s->mixed + (of->r * b->heads + part.h0 + i % part.heads) * vd,
                               part.scores + i * part.ld + (lo - of->lo), values + (lo - t) * vd, vd, vd, hi - lo);
        }
    }
}
static void cq__attend_task(void *arg, size_t task) {
    const cq__attend_job *job = (const cq__attend_job *)arg;
    for (size_t i = task; i < job->items; i += job->tasks) cq__attend_item(job, task, i);
}
static void cq__attend(cq_session *s, const cq_block *b, const cq_input *in) {
    size_t per = b->heads / b->kv_heads, most = CQ__QUERIES;
    cq__attend_job job;
    job.s = s;
    job.b = b;
    job.in = in;
    job.visible = cq__visible(in);
    job.tasks = s->ctx->parallel.run ? CQ__SLOTS : 1;
    if (job.tasks > 1) most = cq__larger(1, cq__min(most, in->n * b->heads / job.tasks)); /* something for each */
    job.heads = cq__min(per, most);
    job.rows = most / job.heads;
    job.cuts = (per + job.heads - 1) / job.heads;
    job.blocks = (in->n + job.rows - 1) / job.rows;
    job.items = job.blocks * b->kv_heads * job.cuts;
    cq_parallel_for(s->ctx, job.tasks, cq__attend_task, &job);
}

/* Where in a row of projections that of a role begins. */
static size_t cq__proj_at(const cq_block *b, cq_role role) { return b->at[role] ? b->lin[b->at[role] - 1].column : 0; }

typedef enum cq__part_of_head { CQ__QUERY, CQ__KEY, CQ__VALUE, CQ__HEAD_GATE } cq__part_of_head;
/* Which linear makes the query, key, value or gate of head h, and at which of its outputs it begins. */
static cq_role cq__head_at(const cq_block *b, cq__part_of_head part, size_t h, size_t *column) {
    size_t d = b->head_dim, vd = b->v_dim, qd = b->q_gate ? 2 * d : d, per = b->heads / b->kv_heads;
    size_t in_group = part == CQ__QUERY || part == CQ__HEAD_GATE ? h % per : 0,
           group = in_group || part == CQ__QUERY || part == CQ__HEAD_GATE ? h / per : h;
    if (b->at[CQ_ROLE_QKV]) {
        size_t q = b->heads * qd, k = b->kv_heads * d;
        switch (b->layout) {
        case CQ_QKV_GROUP: /* of each key head its queries, its key, its value */
            *column = group * (per * qd + d + vd);
            *column += part == CQ__KEY ? per * qd : part == CQ__VALUE ? per * qd + d : in_group * qd;
            break;
        case CQ_QKV_CODEGEN: { /* four blocks of queries, values, keys */
            size_t of = b->heads / 4, l = of * d;
            *column = h / of * 3 * l + h % of * d + (part == CQ__VALUE ? l : part == CQ__KEY ? 2 * l : 0);
            break;
        }
        default: *column = part == CQ__KEY ? q + h * d : part == CQ__VALUE ? q + k + h * vd : h * qd; break;
        }
        if (part == CQ__HEAD_GATE) *column += d;
        return CQ_ROLE_QKV;
    }
    if (part == CQ__QUERY || part == CQ__HEAD_GATE) {
        *column = h * qd + (part == CQ__HEAD_GATE ? d : 0);
        return b->at[CQ_ROLE_QK] ? CQ_ROLE_QK : CQ_ROLE_Q;
    }
    if (b->at[CQ_ROLE_KV]) {
        *column = b->layout == CQ_QKV_GROUP ? h * (d + vd) + (part == CQ__VALUE ? d : 0)
                                            : part == CQ__VALUE ? b->kv_heads * d + h * vd : h * d;
        return CQ_ROLE_KV;
    }
    if (part == CQ__KEY && b->at[CQ_ROLE_QK]) {
        *column = b->heads * qd + h * d;
        return CQ_ROLE_QK;
    }
    *column = h * (part == CQ__KEY ? d : vd);
    return part == CQ__KEY || !b->at[CQ_ROLE_V] ? CQ_ROLE_K : CQ_ROLE_V; /* without a v, values are keys */
}

/* Head h of a row of projections, copied out. */
static void cq__head_copy(const cq_block *b, const float *proj, cq__part_of_head part, size_t h, float *out) {
    size_t column, n = part == CQ__VALUE ? b->v_dim : b->head_dim;
    cq_role role = cq__head_at(b, part, h, &column);
    cq__copy(out, proj + cq__proj_at(b, role) + column, n * sizeof(float));
}

/* What is done to queries (or keys) of a row between projection and scores: norms, clamp, rope, R3. */
static void cq__finish_heads(cq_session *s, const cq_block *b, float *x, size_t heads, size_t place, size_t row,
                             float scale) {
    size_t d = b->head_dim;
    const cq_norm *norm = &b->norm[place];
    bool on = norm->on && b->kind == CQ_BLOCK_ATTENTION; /* latent attention has its norms elsewhere */
    if (on && b->qk_norm == CQ_QK_FULL) cq__norm_row(s->ctx, norm, x, x, heads * d);
    for (size_t i = 0; b->clip > 0.0f && i < heads * d; i++)
        x[i] = x[i] < -b->clip ? -b->clip : x[i] > b->clip ? b->clip : x[i];
    for (size_t h = 0; h < heads; h++, x += d) {
        for (int late = 0; late < 2; late++) {
            if (on && b->qk_norm != CQ_QK_FULL && (late != 0) == b->qk_late) {
                cq_norm own = *norm;
                if (b->qk_norm == CQ_QK_HEADS && own.gain) own.gain = own.gain + 4 * h * d;
                if (b->qk_norm == CQ_QK_HEADS && own.bias) own.bias = own.bias + 4 * h * d;
                cq__norm_row(s->ctx, &own, x, x, d);
            }
            if (!late && b->rope_style != CQ_ROPE_NONE)
                cq__rope(s->ctx, x + b->rope_at, s->angles[b->rope] + row * b->rope_dim, b->rope_dim,
                         b->rope_style);
        }
        for (size_t i = 0; (scale < 1.0f || scale > 1.0f) && i < d; i++) x[i] = x[i] * scale;
        for (size_t i = 0; b->online && i < d; i += b->online->n)
            cq_hadamard_f32(s->ctx, b->online, x + i, s->online, false);
    }
}

/* Projections of a tile of rows (in s->xn) into s->proj. false: the tap stops here. */
static bool cq__project(cq_session *s, const cq_block *b, const cq_tap *tap, size_t r0, size_t n) {
    static const cq_role first[] = {CQ_ROLE_Q,   CQ_ROLE_K,        CQ_ROLE_V,   CQ_ROLE_QK,  CQ_ROLE_KV,
                                    CQ_ROLE_QKV, CQ_ROLE_OUT_GATE, CQ_ROLE_Q_A, CQ_ROLE_KV_A};
    const cq_model *m = s->m;
    size_t ld = s->proj_dim;
    cq__tap_call(tap, b, 0, CQ_ALL, s->xn, m->hidden, n, r0, NULL);
    if (cq__stops(tap, b, 0)) return false;
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++)
        if (b->at[first[i]])
            cq__linear(s, cq_block_linear(b, first[i], 0), s->proj + cq__proj_at(b, first[i]), ld, s->xn, m->hidden,
                       n, false);
    if (b->kind != CQ_BLOCK_MLA) return true;
    /* latent attention: queries, and keys with values, come from a narrow vector and its norm */
    for (size_t group = 1; group < 3; group++) {
        cq_role role = group == 1 ? CQ_ROLE_Q_B : CQ_ROLE_KV_B;
        size_t from = cq__proj_at(b, group == 1 ? CQ_ROLE_Q_A : CQ_ROLE_KV_A),
               width = group == 1 ? b->q_rank : b->kv_rank;
        if (!b->at[role]) continue;
        float scale = group == 1 ? b->q_scale : b->kv_scale;
        for (size_t r = 0; r < n; r++) {
            float *a = s->proj + r * ld + from;
            if (b->norm[group == 1 ? CQ_NORM_Q : CQ_NORM_K].on)
                cq__norm_row(s->ctx, &b->norm[group == 1 ? CQ_NORM_Q : CQ_NORM_K], a, a, width);
            for (size_t i = 0; (scale < 1.0f || scale > 1.0f) && i < width; i++) a[i] = a[i] * scale;
        }
        cq__tap_call(tap, b, group, CQ_ALL, s->proj + from, ld, n, r0, NULL);
        if (cq__stops(tap, b, group)) return false;
        s->acts_ready = false;
        cq__linear(s, cq_block_linear(b, role, 0), s->proj + cq__proj_at(b, role), ld, s->proj + from, ld, n, false);
    }
    return true;
}

/* query, keys and values of one row of projections: q (heads, head_dim), s->row (kv_heads, head_dim | v_dim), which is
   left alone where there are only queries */
static void cq__split_row(cq_session *s, const cq_block *b, const float *proj, float *q) {
    size_t d = b->head_dim, vd = b->v_dim;
    float *k = s->row, *v = s->row + b->kv_heads * d;
    if (b->kind == CQ_BLOCK_MLA) { /* a key is its own part, and the part that turns, which all heads share */
        const float *qs = proj + cq__proj_at(b, b->at[CQ_ROLE_Q] ? CQ_ROLE_Q : CQ_ROLE_Q_B);
        const float *shared = proj + cq__proj_at(b, CQ_ROLE_KV_A) + b->kv_rank;
        const float *kv = proj + cq__proj_at(b, CQ_ROLE_KV_B);
        cq__copy(q, qs, b->heads * d * sizeof(float));
        for (size_t h = 0; h < b->heads; h++, kv += b->nope + vd) {
            cq__copy(k + h * d, kv, b->nope * sizeof(float));
            cq__copy(k + h * d + b->nope, shared, b->rope_dim * sizeof(float));
            cq__copy(v + h * vd, kv + b->nope, vd * sizeof(float));
        }
        return;
    }
    for (size_t h = 0; q && h < b->heads; h++) cq__head_copy(b, proj, CQ__QUERY, h, q + h * d);
    if (b->lender) return;
    for (size_t h = 0; h < b->kv_heads; h++) {
        cq__head_copy(b, proj, CQ__KEY, h, k + h * d);
        cq__head_copy(b, proj, CQ__VALUE, h, v + h * vd);
    }
    for (size_t h = 0; b->norm[CQ_NORM_V].on && h < b->kv_heads; h++)
        cq__norm_row(s->ctx, &b->norm[CQ_NORM_V], v + h * vd, v + h * vd, vd);
    for (size_t i = 0; b->clip > 0.0f && i < b->kv_heads * vd; i++)
        v[i] = v[i] < -b->clip ? -b->clip : v[i] > b->clip ? b->clip : v[i];
}

static void cq__run_attention(cq_session *s, const cq_block *b, const cq_input *in, const cq_tap *tap) {
    size_t d = b->head_dim, vd = b->v_dim, q_dim = b->heads * d, mixed = b->heads * vd,
           last = b->kind == CQ_BLOCK_MLA ? 3 : 1;
    bool gated = b->at[CQ_ROLE_OUT_GATE] || b->q_gate, queries = b->at[CQ_ROLE_O] != 0, stopped = false;
    /* keys and values of all rows first: in a bidirectional model every row sees every other */
    for (size_t r0 = 0; r0 < in->n; r0 += s->desc.tile) {
        size_t n = cq__min(s->desc.tile, in->n - r0);
        cq__input_tile(s, b, r0, n);
        if (!cq__project(s, b, tap, r0, n)) {
            stopped = true;
            continue;
        }
        for (size_t r = r0; r < r0 + n; r++) {
            const float *proj = s->proj + (r - r0) * s->proj_dim;
            float *q = queries ? s->q + r * q_dim : NULL;
            cq__split_row(s, b, proj, q);
            if (q) {
                float temper = 1.0f;
                if (b->temper[0] > 0.0f) {
                    float steps = ((float)cq__position(in, r) + b->temper[2]) / b->temper[0];
                    temper = 1.0f + b->temper[1] * cq_logf(1.0f + (steps < 1e9f ? (float)(int32_t)steps : steps));
                }
                cq__finish_heads(s, b, q, b->heads, CQ_NORM_Q, r, temper);
            }
            if (!b->lender) cq__finish_heads(s, b, s->row, b->kv_heads, CQ_NORM_K, r, b->k_scale);
            for (size_t h = 0; !b->lender && h < b->kv_heads; h++) { /* else they are there already */
                size_t slot = cq__slot_of(in, r), scale = b->cache_scale + h;
                cq__cache_put(s, b->cache_k, scale, d, h, slot, s->row + h * d);
                cq__cache_put(s, b->cache_v, scale + b->kv_heads, vd, h, slot, s->row + b->kv_heads * d + h * vd);
            }
            for (size_t i = 0; b->at[CQ_ROLE_OUT_GATE] && i < mixed; i++)
                s->gate[r * mixed + i] = proj[cq__proj_at(b, CQ_ROLE_OUT_GATE) + (b->gate_head ? i / vd : i)];
            for (size_t h = 0; b->q_gate && h < b->heads; h++)
                cq__head_copy(b, proj, CQ__HEAD_GATE, h, s->gate + r * mixed + h * d);
        }
    }
    if (stopped || !queries || s->cancelled) return;
    cq__attend(s, b, in);
    cq__worked(s, cq__attention_work(b, in));
    for (size_t r0 = 0; r0 < in->n; r0 += s->desc.tile) {
        size_t n = cq__min(s->desc.tile, in->n - r0);
        float *a = s->mixed + r0 * mixed;
        for (size_t i = 0; gated && i < n * mixed; i++) {
            float g = s->gate[r0 * mixed + i];
            a[i] = a[i] * (b->gate_act == CQ_ACT_SOFTPLUS ? cq__softplus(g)
                           : b->gate_act == CQ_ACT_SILU   ? g * cq__sigmoid(g)
                                                          : cq__sigmoid(g));
        }
        for (size_t r = 0; b->norm[CQ_NORM_SUB].on && r < n; r++)
            cq__norm_row(s->ctx, &b->norm[CQ_NORM_SUB], a + r * mixed, a + r * mixed, mixed);
        cq__tap_call(tap, b, last, CQ_ALL, a, mixed, n, r0, NULL);
        s->acts_ready = false;
        if (!cq__stops(tap, b, last)) cq__output(s, b, CQ_ROLE_O, a, mixed, r0, n);
    }
}

/* ---- MLP and experts ---- */
/* an activation function and its numbers */
typedef struct cq__act {
    cq_activation kind;
    float limit, alpha_p, alpha_n;
} cq__act;
static cq__act cq__act_of(const cq_block *b) {
    cq__act a;
    a.kind = b->act;
    a.limit = b->limit;
    a.alpha_p = a.alpha_n = 0.0f;
    if (b->act == CQ_ACT_XIELU && b->param[CQ_PARAM_ACT_P].data && b->param[CQ_PARAM_ACT_N].data) {
        a.alpha_p = cq__softplus(cq__f32(b->param[CQ_PARAM_ACT_P].data));
        a.alpha_n = 0.5f + cq__softplus(cq__f32(b->param[CQ_PARAM_ACT_N].data));
    }
    return a;
}

/* g = act(g) * u, or act(g) when u is NULL; pairs: gate and up alternate in g, from where the result is closed up */
static void cq__activate(const cq_context *ctx, const cq__act *a, float *g, const float *u, size_t n, bool pairs) {
    size_t step = pairs ? 2 : 1;
    if (pairs) u = g + 1;
    if (a->kind == CQ_ACT_SILU && u && !pairs) {
        cq_silu_mul(ctx, g, u, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        float x = g[i * step], up = u ? u[i * step] : 1.0f, y = 0.0f;
        switch (a->kind) {
        case CQ_ACT_SILU: y = x * cq__sigmoid(x); break;
        case CQ_ACT_GELU: y = 0.5f * x * (1.0f + cq_erff(x * 0.707106781f)); break;
        case CQ_ACT_GELU_TANH: { /* x/2 (1 + tanh z) = x / (1 + exp(-2z)), z = sqrt(2/pi) (x + 0.044715 x^3) */
            float z = 0.797884561f * (x + 0.044715f * (x * x * x));
            y = x / (1.0f + cq_expf(-2.0f * z));
            break;
        }
        case CQ_ACT_QUICK_GELU: y = x * cq__sigmoid(1.702f * x); break;
        case CQ_ACT_RELU: y = x > 0.0f ? x : 0.0f; break;
        case CQ_ACT_RELU2: y = x > 0.0f ? x * x : 0.0f; break;
        case CQ_ACT_XIELU: /* arXiv 2411.13010 */
            y = x > 0.0f ? a->alpha_p * x * x + 0.5f * x
                         : (cq__expm1(x < -1e-6f ? x : -1e-6f) - x) * a->alpha_n + 0.5f * x;
            break;
        case CQ_ACT_SWIGLU_LIMIT: /* gpt-oss: both clamped, (up + 1) gate sigmoid(1.702 gate) */
            if (a->limit > 0.0f) {
                x = x > a->limit ? a->limit : x;
                up = up > a->limit ? a->limit : up < -a->limit ? -a->limit : up;
            }
            y = x * cq__sigmoid(1.702f * x);
            up = up + 1.0f;
            break;
        case CQ_ACT_SIGMOID: y = cq__sigmoid(x); break; /* these two only as gates of attention */
        case CQ_ACT_SOFTPLUS: y = cq__softplus(x); break;
        }
        g[i] = y * up;
    }
}

/* Gate, up (where there is none, what stands in its place) and activation of n rows of x into s->proj; the activations
   are the first `inter` of each row. The three roles are those of the MLP, of an expert, or of the shared expert.
   Returns the length of a row. */
static size_t cq__gate_up(cq_session *s, const cq_block *b, cq_role gate, cq_role up, cq_role gate_up, size_t expert,
                          size_t inter, bool pairs, const float *x, size_t ldx, size_t n) {
    bool fused = b->at[gate_up] != 0, gated = fused || b->at[gate] != 0;
    cq__act act = cq__act_of(b);
    size_t ld = gated ? 2 * inter : inter;
    if (fused) {
        cq__linear(s, cq_block_linear(b, gate_up, expert), s->proj, ld, x, ldx, n, false);
    } else {
        if (gated) cq__linear(s, cq_block_linear(b, gate, expert), s->proj, ld, x, ldx, n, false);
        if (b->at[up])
            cq__linear(s, cq_block_linear(b, up, expert), s->proj + (gated ? inter : 0), ld, x, ldx, n, false);
    }
    for (size_t r = 0; r < n; r++) {
        float *g = s->proj + r * ld;
        if (b->kind == CQ_BLOCK_MLP && (b->gate_scale < 1.0f || b->gate_scale > 1.0f))
            for (size_t i = 0; i < inter; i++) g[i] = g[i] * b->gate_scale;
        cq__activate(s->ctx, &act, g, gated ? g + inter : NULL, inter, pairs && fused);
    }
    return ld;
}

static void cq__run_mlp(cq_session *s, const cq_block *b, const cq_input *in, const cq_tap *tap) {
    size_t hidden = s->m->hidden;
    for (size_t r0 = 0; r0 < in->n; r0 += s->desc.tile) {
        size_t n = cq__min(s->desc.tile, in->n - r0), ld;
        cq__input_tile(s, b, r0, n);
        cq__tap_call(tap, b, 0, CQ_ALL, s->xn, hidden, n, r0, NULL);
        if (cq__stops(tap, b, 0)) continue;
        for (size_t r = 0; b->side && r < n; r++)
            cq__copy(s->proj + (2 * r + 1) * b->inter, s->side + (r0 + r) * s->m->side.cols + b->layer * b->inter,
                     b->inter * sizeof(float));
        ld = cq__gate_up(s, b, CQ_ROLE_GATE, CQ_ROLE_UP, CQ_ROLE_GATE_UP, 0, b->inter, false, s->xn, hidden, n);
        for (size_t r = 0; b->norm[CQ_NORM_SUB].on && r < n; r++)
            cq__norm_row(s->ctx, &b->norm[CQ_NORM_SUB], s->proj + r * ld, s->proj + r * ld, b->inter);
        cq__turn_online(s, b->online, cq_block_linear(b, CQ_ROLE_DOWN, 0), s->proj, ld, n, tap);
        cq__tap_call(tap, b, 1, CQ_ALL, s->proj, ld, n, r0, NULL);
        if (!cq__stops(tap, b, 1)) cq__output(s, b, CQ_ROLE_DOWN, s->proj, ld, r0, n);
    }
}

/* The largest of n, the first of equals. */
/* The largest, the first of equals, that is not among those chosen: an expert is chosen once, even where all that are
   left have -infinity or no number. chosen < n */
static size_t cq__largest(const float *x, size_t n, const uint32_t *id, size_t chosen) {
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        bool taken = best != SIZE_MAX && !(x[i] > x[best]);
        for (size_t j = 0; !taken && j < chosen; j++) taken = id[j] == i;
        if (!taken) best = i;
    }
    return best;
}

/* SparseMixer (phimoe): two experts, each weighted by a softmax over those logits that are not far below its own. */
static void cq__sparsemixer(const cq_context *ctx, float *logits, size_t n, float eps, float *work, uint32_t *id,
                            float *weight) {
    for (size_t k = 0; k < 2; k++) {
        size_t best = cq__largest(logits, n, id, k);
        float top = logits[best];
        for (size_t i = 0; i < n; i++) {
            float size = logits[i] < 0.0f ? -logits[i] : logits[i];
            size = size > top ? size : top;
            work[i] = logits[i] > -CQ__INFINITY && (top - logits[i]) / size <= eps ? logits[i] : -CQ__INFINITY;
        }
        (void)cq_softmax(ctx, work, n);
        id[k] = (uint32_t)best;
        weight[k] = work[best];
        logits[best] = -CQ__INFINITY;
    }
}

/* Which experts a row goes to, and with what weight. logits: (experts), overwritten; work: (experts). */
static void cq__choose(const cq_session *s, const cq_block *b, float *logits, float *work, uint32_t *id,
                       float *weight) {
    size_t n = b->experts + b->identity, k = b->top_k, size = n / b->groups;
    float sum = 0.0f;
    if (b->score == CQ_SCORE_SPARSEMIXER) {
        cq__sparsemixer(s->ctx, logits, n, 2.0f * b->jitter, work, id, weight);
        return;
    }
    if (b->score == CQ_SCORE_SOFTMAX) (void)cq_softmax(s->ctx, logits, n);
    if (b->score == CQ_SCORE_SIGMOID)
        for (size_t i = 0; i < n; i++) logits[i] = cq__sigmoid(logits[i]);
    for (size_t i = 0; i < n; i++) {
        const unsigned char *bias = b->param[CQ_PARAM_CHOICE_BIAS].data;
        work[i] = bias ? logits[i] + cq__f32(bias + 4 * i) : logits[i];
    }
    if (b->top_groups < b->groups) { /* only the best groups stay: by their best expert, or their two best */
        float dropped = -CQ__INFINITY;
        for (size_t left = b->groups; left > b->top_groups; left--) { /* drop the worst, the last of equals */
            size_t worst = SIZE_MAX;
            float low = 0.0f;
            for (size_t g = 0; g < b->groups; g++) {
                float first = dropped, second = dropped, score;
                for (size_t i = g * size; i < (g + 1) * size; i++) {
                    if (work[i] > first) {
                        second = first;
                        first = work[i];
                    } else if (work[i] > second) {
                        second = work[i];
                    }
                }
                if (!(first > dropped)) continue; /* dropped before */
                score = b->group_top2 && size > 1 ? first + second : first;
                if (worst == SIZE_MAX || score <= low) {
                    worst = g;
                    low = score;
                }
            }
            for (size_t i = worst * size; worst != SIZE_MAX && i < (worst + 1) * size; i++) work[i] = dropped;
        }
    }
    for (size_t j = 0; j < k; j++) {
        size_t best = cq__largest(work, n, id, j);
        id[j] = (uint32_t)best;
        weight[j] = logits[best];
        work[best] = -CQ__INFINITY;
    }
    if (b->score == CQ_SCORE_TOPK_SOFTMAX) (void)cq_softmax(s->ctx, weight, k);
    for (size_t j = 0; j < k; j++) sum = sum + weight[j];
    for (size_t j = 0; j < k; j++) {
        if (b->renorm) weight[j] = weight[j] / (sum + 1e-20f);
        weight[j] = weight[j] * b->routed_scale;
        if (b->param[CQ_PARAM_EXPERT_SCALE].data)
            weight[j] = weight[j] * cq__f32(b->param[CQ_PARAM_EXPERT_SCALE].data + 4 * id[j]);
    }
}

/* Shared experts of a tile of rows (in s->xn), into y (n, hidden). share: (n) what they are multiplied with, or NULL */
static void cq__run_shared(cq_session *s, const cq_block *b, const cq_tap *tap, float *y, const float *share, size_t r0,
                           size_t n) {
    size_t hidden = s->m->hidden, ld;
    cq__tap_call(tap, b, 0, CQ_SHARED, s->xn, hidden, n, r0, share);
    if (cq__stops(tap, b, 0)) return;
    ld = cq__gate_up(s, b, CQ_ROLE_SHARED_GATE, CQ_ROLE_SHARED_UP, CQ_ROLE_SHARED_GATE_UP, 0, b->s_inter, false, s->xn,
                     hidden, n);
    const cq_linear *down = cq_block_linear(b, CQ_ROLE_SHARED_DOWN, 0);
    cq__turn_online(s, b->online, down, s->proj, ld, n, tap);
    cq__tap_call(tap, b, 1, CQ_SHARED, s->proj, ld, n, r0, share);
    if (cq__stops(tap, b, 1)) return;
    cq__linear(s, down, y, hidden, s->proj, ld, n, false);
    for (size_t i = 0; share && i < n * hidden; i++) y[i] = y[i] * share[i / hidden];
}

/* Router, then expert by expert: its rows are gathered, run through it, and added with their weights. So each row sums
   its experts in the order of their numbers, whatever the tile. */
static void cq__run_experts(cq_session *s, const cq_block *b, const cq_input *in, const cq_tap *tap) {
    size_t hidden = s->m->hidden, tile = s->desc.tile, all = b->experts + b->identity, k = b->top_k, wide = b->latent;
    size_t most = cq__larger(wide, hidden);
    float *logits = s->route, *weight = logits + tile * all, *gathered = weight + tile * k,
          *out = gathered + tile * most;
    float *narrow = out + tile * most, *sum = narrow + tile * wide;           /* e_in(x), and what goes through e_out */
    float *own = sum + tile * wide, *share = own + tile, *work = share + 2 * tile; /* weights of the rows gathered */
    uint32_t *id = (uint32_t *)(void *)(work + all), *row = id + tile * k;
    bool shared = b->at[CQ_ROLE_SHARED_UP] || b->at[CQ_ROLE_SHARED_GATE_UP], latent = b->at[CQ_ROLE_EXPERT_IN] != 0;
    bool own_norm = b->norm[CQ_NORM_ROUTER].on;
    const uint8_t *only = tap && tap->block == b && tap->stop != SIZE_MAX ? tap->experts : NULL; /* NULL: all */
    for (size_t r0 = 0; r0 < in->n; r0 += tile) {
        size_t n = cq__min(tile, in->n - r0), ld;
        const float *x = latent ? narrow : s->xn, *mix = NULL;
        float *y = latent ? sum : s->y;
        cq__input_tile(s, b, r0, n);
        if (own_norm) /* the router reads the stream through another norm than the experts */
            for (size_t r = 0; r < n; r++)
                cq__norm_row(s->ctx, &b->norm[CQ_NORM_ROUTER], out + r * hidden, cq__stream(s, b) + (r0 + r) * hidden,
                             hidden);
        cq__linear(s, cq_block_linear(b, CQ_ROLE_ROUTER, 0), logits, all, own_norm ? out : s->xn, hidden, n, false);
        if (own_norm) s->acts_ready = false;
        for (size_t i = 0; (b->router_scale < 1.0f || b->router_scale > 1.0f) && i < n * all; i++)
            logits[i] = logits[i] * b->router_scale;
        for (size_t r = 0; r < n; r++) cq__choose(s, b, logits + r * all, work, id + r * k, weight + r * k);
        if (b->at[CQ_ROLE_SHARED_MIX]) {
            cq__linear(s, cq_block_linear(b, CQ_ROLE_SHARED_MIX, 0), share, 1, s->xn, hidden, n, false);
            for (size_t r = 0; r < n; r++) share[r] = cq__sigmoid(share[r]);
            mix = share;
        }
        if (b->at[CQ_ROLE_MIX2]) { /* routed and shared divide the output by a softmax of two */
            cq__linear(s, cq_block_linear(b, CQ_ROLE_MIX2, 0), out, 2, s->xn, hidden, n, false);
            for (size_t r = 0; r < n; r++) {
                share[r] = cq__sigmoid(out[2 * r + 1] - out[2 * r]);
                for (size_t j = 0; j < k; j++) weight[r * k + j] = weight[r * k + j] * (1.0f - share[r]);
            }
            mix = share;
        }
        cq__fill(s->y, 0, n * hidden * sizeof(float));
        if (shared && (!only || only[b->experts] != CQ_TAP_NONE))
            cq__run_shared(s, b, tap, s->y, only && only[b->experts] == CQ_TAP_EVERY ? NULL : mix, r0, n);
        if (latent) {
            s->acts_ready = false;
            cq__linear(s, cq_block_linear(b, CQ_ROLE_EXPERT_IN, 0), narrow, wide, s->xn, hidden, n, false);
            cq__fill(sum, 0, n * wide * sizeof(float));
        }
        for (size_t e = 0; e < all; e++) {
            size_t rows = 0;
            bool every = only && e < b->experts && only[e] == CQ_TAP_EVERY;
            if (only && (e >= b->experts || only[e] == CQ_TAP_NONE)) continue;
            if (every) cq__copy(gathered, x, n * wide * sizeof(float));
            for (size_t r = 0; !every && r < n; r++)
                for (size_t j = 0; j < k; j++)
                    if (id[r * k + j] == e) {
                        float *g = gathered + rows * wide;
                        own[rows] = weight[r * k + j];
                        row[rows++] = (uint32_t)r;
                        for (size_t i = 0; i < wide; i++)
                            g[i] = b->score_in ? x[r * wide + i] * weight[r * k + j] : x[r * wide + i];
                    }
            if (every) rows = n;
            if (!rows) continue;
            const float *scores = every || b->score_in ? NULL : own;
            if (e >= b->experts) { /* gives its input back */
                for (size_t r = 0; r < rows; r++)
                    cq_axpy(s->ctx, y + row[r] * wide, own[r], gathered + r * wide, wide);
                continue;
            }
            cq__tap_call(tap, b, 0, e, gathered, wide, rows, r0, scores);
            if (cq__stops(tap, b, 0)) continue;
            s->acts_ready = false;
            ld = cq__gate_up(s, b, CQ_ROLE_EXPERT_GATE, CQ_ROLE_EXPERT_UP, CQ_ROLE_EXPERT_GATE_UP, e, b->inter,
                             b->pairs, gathered, wide, rows);
            const cq_linear *down = cq_block_linear(b, CQ_ROLE_EXPERT_DOWN, e);
            cq__turn_online(s, b->online, down, s->proj, ld, rows, tap);
            cq__tap_call(tap, b, 1, e, s->proj, ld, rows, r0, scores);
            if (cq__stops(tap, b, 1)) continue;
            cq__linear(s, down, out, wide, s->proj, ld, rows, false);
            for (size_t r = 0; r < rows; r++)
                cq_axpy(s->ctx, y + row[r] * wide, b->score_in ? 1.0f : own[r], out + r * wide, wide);
        }
        s->acts_ready = false;
        if (cq__stops(tap, b, 1)) continue;
        if (latent) cq__linear(s, cq_block_linear(b, CQ_ROLE_EXPERT_OUT, 0), s->y, hidden, sum, wide, n, true);
        cq__join(s, b, s->y, r0, n);
    }
}

/* ---- recurrent mixers ----
   Each keeps a state from row to row: the last kernel - 1 inputs of its convolution, oldest first, and a matrix. */

/* Depthwise causal convolution of one row of `channels`, its state moving on; y may be x. */
static void cq__convolve(const cq_block *b, float *state, float *y, const float *x, size_t channels) {
    const unsigned char *w = b->param[CQ_PARAM_CONV].data, *bias = b->param[CQ_PARAM_CONV_BIAS].data;
    size_t back = b->kernel - 1;
    for (size_t c = 0; c < channels; c++) {
        float sum = bias ? cq__f32(bias + 4 * c) : 0.0f, now = x[c];
        for (size_t j = 0; j < back; j++) {
            float old = state[j * channels + c];
            sum = sum + old * cq__f32(w + 4 * (c * b->kernel + j));
            if (j) state[(j - 1) * channels + c] = old;
        }
        if (back) state[(back - 1) * channels + c] = now;
        y[c] = sum + now * cq__f32(w + 4 * (c * b->kernel + back));
    }
}
static void cq__silu_row(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = x[i] * cq__sigmoid(x[i]);
}

/* Mamba2 (arXiv 2405.21060): in gives z | x | B | C | dt; x, B, C through convolution and silu; for each head
   S = S exp(-exp(A_log) dt) + dt x B^T,  y = S C + D x; then y * silu(z) through a norm in groups. */
static void cq__mamba2_row(cq_session *s, const cq_block *b, float *proj, float *y) {
    size_t hd = b->head_dim, inner = b->heads * hd, n = b->state_dim, per = b->heads / b->groups;
    size_t channels = inner + 2 * b->groups * n, size = inner / b->groups;
    float *state = s->state + b->state, *z = proj, *x = proj + inner, *dt = x + channels,
          *S = state + (b->kernel - 1) * channels;
    const float *B = x + inner, *C = B + b->groups * n;
    const cq_norm *norm = &b->norm[CQ_NORM_GATED];
    size_t end[5], at = 0;
    end[0] = inner;
    end[1] = 2 * inner;
    end[2] = end[1] + b->groups * n;
    end[3] = end[2] + b->groups * n;
    end[4] = end[3] + b->heads;
    for (size_t part = 0; part < 5; part++)
        for (; at < end[part]; at++)
            if (b->mults[part] < 1.0f || b->mults[part] > 1.0f) proj[at] = proj[at] * b->mults[part];
    cq__convolve(b, state, x, x, channels);
    cq__silu_row(x, channels);
    for (size_t h = 0; h < b->heads; h++) {
        float step = cq__softplus(dt[h] + cq__f32(b->param[CQ_PARAM_DT_BIAS].data + 4 * h));
        step = step < b->dt_min ? b->dt_min : step > b->dt_max ? b->dt_max : step;
        float decay = cq_expf(-cq_expf(cq__f32(b->param[CQ_PARAM_A_LOG].data + 4 * h)) * step);
        float skip = cq__f32(b->param[CQ_PARAM_D].data + 4 * h);
        const float *Bh = B + h / per * n, *Ch = C + h / per * n;
        for (size_t p = 0; p < hd; p++) {
            float *Sp = S + (h * hd + p) * n, in = step * x[h * hd + p];
            for (size_t k = 0; k < n; k++) Sp[k] = Sp[k] * decay + in * Bh[k];
            y[h * hd + p] = cq_dot(s->ctx, Sp, Ch, n) + skip * x[h * hd + p];
        }
    }
    cq__silu_row(z, inner);
    for (size_t i = 0; (!norm->on || !b->norm_first) && i < inner; i++) y[i] = y[i] * z[i];
    for (size_t g = 0; norm->on && g < b->groups; g++) {
        cq_norm own = *norm;
        if (own.gain) own.gain = own.gain + 4 * g * size;
        cq__norm_row(s->ctx, &own, y + g * size, y + g * size, size);
    }
    for (size_t i = 0; norm->on && b->norm_first && i < inner; i++) y[i] = y[i] * z[i];
}

/* Gated delta rule (arXiv 2412.06464), of each value head: S = S g + k ((v - (S g)^T k) beta)^T, y = S^T q; then a norm
   of each head and silu(z). q and k have length 1. */
static void cq__delta_row(cq_session *s, const cq_block *b, const float *proj, float *conv, float *y) {
    size_t nk = b->kv_heads, nv = b->heads, dk = b->head_dim, dv = b->v_dim, per = nv / nk, channels = b->inner;
    float *q = conv, *k = q + nk * dk, *v = k + nk * dk, *S = s->state + b->state + (b->kernel - 1) * channels;
    const float *z = NULL, *beta = NULL, *a = NULL;
    bool fused = b->at[CQ_ROLE_QKVZ] != 0; /* of each key head q | k | its values | their z, and then b | a */
    if (fused) {
        const float *f = proj + cq__proj_at(b, CQ_ROLE_QKVZ);
        for (size_t h = 0; h < nk; h++, f += 2 * dk + 2 * per * dv) {
            cq__copy(q + h * dk, f, dk * sizeof(float));
            cq__copy(k + h * dk, f + dk, dk * sizeof(float));
            cq__copy(v + h * per * dv, f + 2 * dk, per * dv * sizeof(float));
        }
    } else {
        cq__copy(q, proj + cq__proj_at(b, CQ_ROLE_QKV), channels * sizeof(float));
        z = proj + cq__proj_at(b, CQ_ROLE_Z);
        beta = proj + cq__proj_at(b, CQ_ROLE_B);
        a = proj + cq__proj_at(b, CQ_ROLE_A);
    }
    cq__convolve(b, s->state + b->state, conv, conv, channels);
    cq__silu_row(conv, channels);
    for (size_t h = 0; h < 2 * nk; h++) { /* q and k of length 1, q then scaled */
        float *x = q + h * dk, f = 1.0f / cq_sqrtf(cq_dot(s->ctx, x, x, dk) + 1e-6f);
        if (h < nk) f = f / cq_sqrtf((float)dk);
        for (size_t i = 0; i < dk; i++) x[i] = x[i] * f;
    }
    for (size_t h = 0; h < nv; h++) {
        size_t g = h / per, in = h % per;
        const float *ba = fused ? proj + cq__proj_at(b, CQ_ROLE_BA) + g * 2 * per : NULL;
        const float *zh =
            fused ? proj + cq__proj_at(b, CQ_ROLE_QKVZ) + g * (2 * dk + 2 * per * dv) + 2 * dk + (per + in) * dv
                  : z + h * dv;
        const float *kh = k + g * dk, *qh = q + g * dk;
        float rate = cq__sigmoid(fused ? ba[in] : beta[h]);
        float step = cq__softplus((fused ? ba[per + in] : a[h]) + cq__f32(b->param[CQ_PARAM_DT_BIAS].data + 4 * h));
        float decay = cq_expf(-cq_expf(cq__f32(b->param[CQ_PARAM_A_LOG].data + 4 * h)) * step);
        float *Sh = S + h * dk * dv, *out = y + h * dv;
        for (size_t j = 0; j < dv; j++) out[j] = 0.0f;
        for (size_t i = 0; i < dk; i++)
            for (size_t j = 0; j < dv; j++) {
                Sh[i * dv + j] = Sh[i * dv + j] * decay;
                out[j] = out[j] + Sh[i * dv + j] * kh[i];
            }
        for (size_t j = 0; j < dv; j++) v[h * dv + j] = (v[h * dv + j] - out[j]) * rate;
        for (size_t j = 0; j < dv; j++) out[j] = 0.0f;
        for (size_t i = 0; i < dk; i++)
            for (size_t j = 0; j < dv; j++) {
                Sh[i * dv + j] = Sh[i * dv + j] + kh[i] * v[h * dv + j];
                out[j] = out[j] + Sh[i * dv + j] * qh[i];
            }
        cq__norm_row(s->ctx, &b->norm[CQ_NORM_GATED], out, out, dv);
        for (size_t j = 0; j < dv; j++) out[j] = out[j] * (zh[j] * cq__sigmoid(zh[j]));
    }
}

/* Lightning attention (minimax): silu(qkv) of each head q | k | v; S = S exp(-slope) + k v^T,  y = S^T q; a norm over
   all heads, and sigmoid(gate). Deeper layers forget more slowly. */
static void cq__lightning_row(cq_session *s, const cq_block *b, float *proj, float *y) {
    size_t d = b->head_dim;
    float *x = proj + cq__proj_at(b, CQ_ROLE_QKV), *S = s->state + b->state;
    const float *gate = proj + cq__proj_at(b, CQ_ROLE_OUT_GATE);
    float depth = 1.0f - (float)b->layer / ((float)s->m->layers - 1.0f + 1e-5f) + 1e-5f;
    cq__silu_row(x, 3 * b->heads * d);
    for (size_t h = 0; h < b->heads; h++, S += d * d, x += 3 * d) {
        float decay = cq_expf(-(cq_powf(2.0f, -8.0f * (float)(h + 1) / (float)b->heads) * depth)), *out = y + h * d;
        for (size_t j = 0; j < d; j++) out[j] = 0.0f;
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++) {
                S[i * d + j] = S[i * d + j] * decay + x[d + i] * x[2 * d + j];
                out[j] = out[j] + S[i * d + j] * x[i];
            }
    }
    cq__norm_row(s->ctx, &b->norm[CQ_NORM_GATED], y, y, b->heads * d);
    for (size_t i = 0; i < b->heads * d; i++) y[i] = y[i] * cq__sigmoid(gate[i]);
}

/* Gated short convolution (lfm2): in gives B | C | x; y = C * conv(B * x) */
static void cq__conv_row(cq_session *s, const cq_block *b, const float *proj, float *y) {
    size_t n = s->m->hidden;
    for (size_t i = 0; i < n; i++) y[i] = proj[i] * proj[2 * n + i];
    cq__convolve(b, s->state + b->state, y, y, n);
    for (size_t i = 0; i < n; i++) y[i] = y[i] * proj[n + i];
}

/* Mamba (arXiv 2312.00752): in gives x | z; x through convolution and silu gives dt | B | C, and with them
   S = S exp(-exp(A_log) dt) + dt x B^T,  y = S C + D x, channel by channel; then y * silu(z). xs: a tile of what the
   convolution gives, where the output y stands in the end. false: the tap stops here. */
static bool cq__mamba_tile(cq_session *s, const cq_block *b, const cq_tap *tap, float *xs, size_t r0, size_t rows) {
    size_t inner = b->inner, n = b->state_dim, rank = b->rank, ld = s->proj_dim, ldx = cq__work_dim(b);
    size_t at_x = cq__proj_at(b, CQ_ROLE_X), at_dt = cq__proj_at(b, CQ_ROLE_DT), at_in = cq__proj_at(b, CQ_ROLE_IN);
    float *state = s->state + b->state, *S = state + (b->kernel - 1) * inner;
    for (size_t r = 0; r < rows; r++) {
        cq__convolve(b, state, xs + r * ldx, s->proj + r * ld + at_in, inner);
        cq__silu_row(xs + r * ldx, inner);
    }
    cq__tap_call(tap, b, 1, CQ_ALL, xs, ldx, rows, r0, NULL);
    if (cq__stops(tap, b, 1)) return false;
    s->acts_ready = false;
    cq__linear(s, cq_block_linear(b, CQ_ROLE_X, 0), s->proj + at_x, ld, xs, ldx, rows, false);
    for (size_t r = 0; r < rows; r++) {
        float *x = s->proj + r * ld + at_x;
        if (b->norm[CQ_NORM_DT].on) cq__norm_row(s->ctx, &b->norm[CQ_NORM_DT], x, x, rank);
        if (b->norm[CQ_NORM_B].on) cq__norm_row(s->ctx, &b->norm[CQ_NORM_B], x + rank, x + rank, n);
        if (b->norm[CQ_NORM_C].on) cq__norm_row(s->ctx, &b->norm[CQ_NORM_C], x + rank + n, x + rank + n, n);
    }
    cq__tap_call(tap, b, 2, CQ_ALL, s->proj + at_x, ld, rows, r0, NULL);
    if (cq__stops(tap, b, 2)) return false;
    s->acts_ready = false;
    cq__linear(s, cq_block_linear(b, CQ_ROLE_DT, 0), s->proj + at_dt, ld, s->proj + at_x, ld, rows, false);
    for (size_t r = 0; r < rows; r++) {
        const float *row = s->proj + r * ld, *B = row + at_x + rank, *C = B + n, *z = row + at_in + inner;
        float *x = xs + r * ldx;
        for (size_t c = 0; c < inner; c++) {
            float dt = cq__softplus(row[at_dt + c]), *Sc = S + c * n, in = dt * x[c];
            for (size_t k = 0; k < n; k++) {
                float A = -cq_expf(cq__f32(b->param[CQ_PARAM_A_LOG].data + 4 * (c * n + k)));
                Sc[k] = Sc[k] * cq_expf(dt * A) + in * B[k];
            }
            x[c] = cq_dot(s->ctx, Sc, C, n) + cq__f32(b->param[CQ_PARAM_D].data + 4 * c) * x[c];
            x[c] = x[c] * (z[c] * cq__sigmoid(z[c]));
        }
    }
    return true;
}

static void cq__run_recurrent(cq_session *s, const cq_block *b, const cq_input *in, const cq_tap *tap) {
    static const cq_role first[] = {CQ_ROLE_IN, CQ_ROLE_QKV, CQ_ROLE_QKVZ, CQ_ROLE_BA,
                                    CQ_ROLE_Z,  CQ_ROLE_B,   CQ_ROLE_A,    CQ_ROLE_OUT_GATE};
    const cq_model *m = s->m;
    size_t ldw = cq__work_dim(b), last = cq__role_group(b->kind, CQ_ROLE_OUT), ld = s->proj_dim;
    for (size_t r0 = 0; r0 < in->n; r0 += s->desc.tile) {
        size_t n = cq__min(s->desc.tile, in->n - r0);
        bool on = true;
        float *y = s->work; /* rows of output; delta and mamba: of what their convolutions give first */
        cq__input_tile(s, b, r0, n);
        cq__tap_call(tap, b, 0, CQ_ALL, s->xn, m->hidden, n, r0, NULL);
        if (cq__stops(tap, b, 0)) continue;
        for (size_t i = 0; i < sizeof first / sizeof first[0]; i++)
            if (b->at[first[i]])
                cq__linear(s, cq_block_linear(b, first[i], 0), s->proj + cq__proj_at(b, first[i]), ld, s->xn,
                           m->hidden, n, false);
        if (b->kind == CQ_BLOCK_DELTA) y = s->work + b->inner;
        if (b->kind == CQ_BLOCK_MAMBA) on = cq__mamba_tile(s, b, tap, y, r0, n);
        for (size_t r = 0; r < n; r++) {
            float *proj = s->proj + r * ld, *out = y + r * ldw;
            switch (b->kind) {
            case CQ_BLOCK_MAMBA2: cq__mamba2_row(s, b, proj, out); break;
            case CQ_BLOCK_CONV: cq__conv_row(s, b, proj, out); break;
            case CQ_BLOCK_DELTA: cq__delta_row(s, b, proj, s->work + r * ldw, out); break;
            case CQ_BLOCK_LIGHTNING: cq__lightning_row(s, b, proj, out); break;
            default: break;
            }
        }
        if (!on) continue;
        cq__tap_call(tap, b, last, CQ_ALL, y, ldw, n, r0, NULL);
        s->acts_ready = false;
        if (!cq__stops(tap, b, last)) cq__output(s, b, CQ_ROLE_OUT, y, ldw, r0, n);
    }
}

/* ---- the whole model ---- */
CQUANT_DEF void cq_run_block(cq_session *s, const cq_block *b, const cq_input *in, const cq_tap *tap) {
    size_t hidden = s->m->hidden;
    if (b->leads) cq__copy(s->held, s->x, in->n * hidden * sizeof(float));
    if (b->apart) cq__fill(s->x, 0, in->n * hidden * sizeof(float));
    switch (b->kind) {
    case CQ_BLOCK_ATTENTION:
    case CQ_BLOCK_MLA: cq__run_attention(s, b, in, tap); break;
    case CQ_BLOCK_MLP: cq__run_mlp(s, b, in, tap); break;
    case CQ_BLOCK_MOE: cq__run_experts(s, b, in, tap); break;
    case CQ_BLOCK_OPAQUE:
    case CQ_BLOCK_KINDS: break; /* never bound */
    default: /* recurrent: slot 0 begins anew */
        if (!in->slot) cq__fill(s->state + b->state, 0, b->state_size * sizeof(float));
        cq__run_recurrent(s, b, in, tap);
        break;
    }
    if (tap && tap->block == b && tap->stop != SIZE_MAX) return;
    for (size_t r = 0; b->norm[CQ_NORM_JOINT].on && r < in->n; r++) {
        cq__norm_row(s->ctx, &b->norm[CQ_NORM_JOINT], s->x + r * hidden, s->x + r * hidden, hidden);
        cq_axpy(s->ctx, s->x + r * hidden, 1.0f, s->held + r * hidden, hidden);
    }
    if (b->kind <= CQ_BLOCK_MOE && b->kind != CQ_BLOCK_MLA && b->param[CQ_PARAM_STREAM].data) {
        float scale = cq__f32(b->param[CQ_PARAM_STREAM].data);
        for (size_t i = 0; i < in->n * hidden; i++) s->x[i] = s->x[i] * scale;
    }
    if (b->adds_late) cq_axpy(s->ctx, s->x, 1.0f, s->late, in->n * hidden);
}

/* The side rows of all layers, for the rows that stand at the beginning of the stream */
static void cq__embed_side(cq_session *s, const cq_input *in) {
    const cq_model *m = s->m;
    size_t width = m->side_width, wide = m->side.cols, projected = m->side_in.w.rows;
    float *table = s->side + s->desc.max_rows * wide;
    if (projected) cq_matmul(s->ctx, s->side, wide, &m->side_in.w, m->side_in.bias, s->x, m->hidden, in->n, false);
    else cq__fill(s->side, 0, in->n * wide * sizeof(float));
    for (size_t r = 0; r < in->n; r++) {
        float *y = s->side + r * wide;
        cq_tensor_row(&m->side, (size_t)in->ids[r], table);
        for (size_t i = 0; i < wide; i++) y[i] = y[i] * m->side_in_scale;
        for (size_t i = 0; m->side_norm.on && i < wide; i += width)
            cq__norm_row(s->ctx, &m->side_norm, y + i, y + i, width);
        for (size_t i = 0; i < wide; i++) y[i] = (y[i] + table[i] * m->side_scale) * m->side_sum_scale;
    }
}

CQUANT_DEF void cq_embed(cq_session *s, const cq_input *in) {
    const cq_model *m = s->m;
    size_t hidden = m->hidden;
    for (size_t r = 0; r < in->n; r++) {
        float *x = s->x + r * hidden;
        cq_tensor_row(&m->embed, (size_t)in->ids[r], m->embed_in.w.rows ? s->xn : x);
        if (m->embed_in.w.rows)
            cq_matmul(s->ctx, x, hidden, &m->embed_in.w, m->embed_in.bias, s->xn, m->embed.cols, 1, false);
        for (size_t i = 0; (m->embed_scale < 1.0f || m->embed_scale > 1.0f) && i < hidden; i++)
            x[i] = x[i] * m->embed_scale;
        size_t position = (size_t)cq__position(in, r) + m->position_offset;
        if (m->position.rows) {
            cq_tensor_row(&m->position, position, s->y);
            cq_axpy(s->ctx, x, 1.0f, s->y, hidden);
        }
        if (m->sinusoid && hidden / 2 > 1) { /* sines, then cosines (xglm) */
            size_t half = hidden / 2;
            float step = 9.21034037f / (float)m->sinusoid_steps; /* log 10000 */
            for (size_t j = 0; j < half; j++) {
                float sine, cosine;
                cq_sincosf((float)position * cq_expf(-(float)j * step), &sine, &cosine);
                x[j] = x[j] + sine;
                x[half + j] = x[half + j] + cosine;
            }
        }
        if (m->embed_norm.on) cq__norm_row(s->ctx, &m->embed_norm, x, x, hidden);
    }
    if (m->side.rows) cq__embed_side(s, in);
}

/* All blocks of one stream over the rows in s->x; slots count from the text */
static void cq__run_stream(cq_session *s, const cq_input *in) {
    s->rows = in->n;
    cq_prepare(s, in);
    cq__work_begin(s, cq__pass_work(s, in));
    for (size_t i = 0; i < s->m->block_count && !s->cancelled; i++)
        if (s->m->blocks[i].text == in->text) cq_run_block(s, &s->m->blocks[i], in, NULL);
}

static cq_status cq__cancelled(cq_error *err) {
    return cq_fail(err, CQ_ERR_CANCELLED, "cancelled by the session's progress");
}

/* the text stream's rows as they enter: the text, and the box as one more */
static void cq__embed_text(cq_session *s, const float *text, size_t n, const float *box) {
    const cq_model *m = s->m;
    cq_matmul(s->ctx, s->x, m->hidden, &m->input[0].w, m->input[0].bias, text, m->input[0].w.cols, n, false);
    if (m->input[1].w.rows)
        cq_matmul(s->ctx, s->x + n * m->hidden, m->hidden, &m->input[1].w, m->input[1].bias, box, m->input[1].w.cols, 1,
                  false);
}

CQUANT_DEF cq_status cq_forward_text(cq_session *s, const float *text, size_t n, const float *box, cq_error *err) {
    const cq_model *m = s->m;
    size_t rows = n + (m->input[1].w.rows ? 1 : 0);
    cq_input in;
    if (!m->two_streams) return cq_fail(err, CQ_ERR_ARG, "this model has no text stream");
    if ((box != NULL) != (m->input[1].w.rows != 0))
        return cq_fail(err, CQ_ERR_ARG, box ? "this model takes no box" : "this model needs a box");
    if (!n || n > s->desc.max_rows || rows > s->desc.max_rows || rows >= s->desc.max_tokens)
        return cq_fail_at(err, CQ_ERR_RANGE, "more rows of text than the session was made for (or none)", NULL, 0,
                          UINT64_MAX, (int64_t)n);
    cq__embed_text(s, text, n, box);
    cq__fill(&in, 0, sizeof in);
    in.n = rows;
    in.text = true;
    s->text_rows = rows;
    cq__run_stream(s, &in);
    if (!s->cancelled) return CQ_OK;
    s->text_rows = 0;
    return cq__cancelled(err);
}

/* Has an id a row in the embedding, and in the side table? */
static bool cq__known(const cq_model *m, int32_t id) {
    return id >= 0 && (size_t)id < m->embed.rows && (!m->side.rows || (size_t)id < m->side.rows);
}

CQUANT_DEF cq_status cq_forward(cq_session *s, const cq_input *in, cq_error *err) {
    const cq_model *m = s->m;
    size_t slots = s->desc.max_tokens - s->text_rows, end, visible; /* end: behind the last of the rows' own */
    cq_input shifted = *in;
    if (!in->n || in->n > s->desc.max_rows)
        return cq_fail_at(err, CQ_ERR_RANGE, "more rows than the session was made for (or none)", NULL, 0, UINT64_MAX,
                          (int64_t)in->n);
    if (in->slots && (m->recurrent || m->two_streams))
        return cq_fail(err, CQ_ERR_UNSUPPORTED, "a model with recurrent blocks or two streams runs slot after slot");
    for (size_t r = 1; in->slots && r < in->n; r++)
        if (in->slots[r] <= in->slots[r - 1])
            return cq_fail_at(err, CQ_ERR_RANGE, "the slots of the rows must be strictly ascending", NULL, 0, r,
                              (int64_t)in->slots[r]);
    bool inside = in->slots ? in->slots[in->n - 1] < slots : in->n <= slots && in->slot <= slots - in->n;
    end = inside ? cq__slot_of(in, in->n - 1) + 1 : 0;
    visible = in->visible ? in->visible : end;
    if (!inside || visible > slots || visible < end)
        return cq_fail_at(err, CQ_ERR_RANGE, "rows or visible slots lie outside the session's cache", NULL, 0,
                          in->slots ? in->slots[in->n - 1] : in->slot, (int64_t)visible);
    if ((in->allow || in->bias) && in->ld_mask < visible)
        return cq_fail_at(err, CQ_ERR_ARG, "a mask row is shorter than the visible slots", NULL, 0, UINT64_MAX,
                          (int64_t)in->ld_mask);
    if (m->two_streams && !s->text_rows) return cq_fail(err, CQ_ERR_ARG, "this model needs its text first");
    if (m->side.rows && !in->ids) return cq_fail(err, CQ_ERR_UNSUPPORTED, "a model with a side table needs token ids");
    if ((m->recurrent || m->two_streams) && (in->keep || in->allow || in->bias))
        return cq_fail(err, CQ_ERR_UNSUPPORTED, "a model with recurrent blocks or two streams takes no masks");
    if (m->recurrent && in->slot && in->slot != s->next)
        return cq_fail_at(err, CQ_ERR_UNSUPPORTED, "recurrent blocks only go forward, slot by slot", NULL, 0,
                          in->slot, (int64_t)s->next);
    shifted.text = false;
    shifted.text_rows = s->text_rows;
    shifted.slot = in->slot + s->text_rows;
    shifted.visible = visible + s->text_rows;
    for (size_t r = 0; r < in->n; r++) {
        if (in->positions && in->positions[r] < 0)
            return cq_fail_at(err, CQ_ERR_RANGE, "a position is negative", NULL, 0, r, in->positions[r]);
        if (in->ids && !cq__known(m, in->ids[r]))
            return cq_fail_at(err, CQ_ERR_RANGE, "a token id is outside the vocabulary", NULL, 0, r, in->ids[r]);
        size_t position = (size_t)cq__position(&shifted, r);
        if (m->longest && position >= m->longest)
            return cq_fail_at(err, CQ_ERR_RANGE, "a position lies beyond where this model is exact here", NULL,
                              0, r, (int64_t)position);
        if (m->position.rows && (position >= m->position.rows || m->position_offset > m->position.rows - 1 - position))
            return cq_fail_at(err, CQ_ERR_RANGE, "a position lies beyond the learned ones", NULL, 0, r,
                              (int64_t)position);
    }
    if (in->ids) cq_embed(s, &shifted);
    s->next = end;
    cq__run_stream(s, &shifted);
    if (!s->cancelled) return CQ_OK;
    s->next = SIZE_MAX; /* the states of recurrent blocks are anywhere */
    return cq__cancelled(err);
}

/* the length of a row of the head */
static float cq__row_length(const cq_model *m, size_t row) {
    float sum = 0.0f, x[32];
    for (size_t c = 0; c < m->head.w.cols; c += 32) {
        size_t n = cq__min(32, m->head.w.cols - c);
        cq_tensor_span(&m->head.w, row, c, n, x);
        for (size_t i = 0; i < n; i++) sum = sum + x[i] * x[i];
    }
    sum = cq_sqrtf(sum);
    return sum > 1e-7f ? sum : 1e-7f;
}

/* What the head reads of the rows rows[r0 .. r0 + n) of the last pass (NULL: r0 .. r0 + n - 1), at most a tile of them:
   (n, head.w.cols), in the session's scratch. */
static const float *cq__head_input(cq_session *s, const uint32_t *rows, size_t r0, size_t n) {
    const cq_model *m = s->m;
    size_t hidden = m->hidden;
    float *h = s->xn;
    for (size_t r = 0; r < n; r++) {
        const float *x = s->x + (rows ? rows[r0 + r] : r0 + r) * hidden;
        if (m->norm.on) cq__norm_row(s->ctx, &m->norm, h + r * hidden, x, hidden);
        else cq__copy(h + r * hidden, x, hidden * sizeof(float));
    }
    s->acts_ready = false;
    if (m->head_dense.w.rows) {
        cq__act act = {m->head_act, 0.0f, 0.0f, 0.0f};
        cq__product(s, &m->head_dense, s->y, hidden, h, hidden, n, false);
        for (size_t r = 0; r < n; r++) {
            cq__activate(s->ctx, &act, s->y + r * hidden, NULL, hidden, false);
            if (m->head_norm.on) cq__norm_row(s->ctx, &m->head_norm, h + r * hidden, s->y + r * hidden, hidden);
            else cq__copy(h + r * hidden, s->y + r * hidden, hidden * sizeof(float));
        }
        s->acts_ready = false;
    }
    if (!m->head_out.w.rows) return h;
    cq_matmul(s->ctx, s->y, m->head.w.cols, &m->head_out.w, m->head_out.bias, h, hidden, n, false);
    return s->y;
}

/* Logits of the tokens first .. first + count - 1, where first is a multiple of 16, for n rows of what the head reads,
   as codes (a) or as they are (h): y (n, ldy). The same bits, however the vocabulary is cut. */
static void cq__head_part(cq_session *s, const float *h, const cq_acts *a, size_t n, size_t first, size_t count,
                          float *y, size_t ldy) {
    const cq_model *m = s->m;
    const cq_tensor *w = &m->head.w;
    const unsigned char *bias = m->head.bias ? m->head.bias + 4 * first : NULL;
    cq_tensor part;
    part.format = w->format;
    part.layout = w->layout;
    part.asym = w->asym;
    part.act_bits = w->act_bits;
    part.group_size = w->group_size;
    part.rows = count;
    part.cols = w->cols;
    part.bytes = w->layout == CQ_PANELS ? cq_panel_bytes(w) * cq_panel_count(&part)
                                        : count * w->cols * (cq_format_bits(w->format) / 8);
    part.data = w->data + (w->layout == CQ_PANELS ? first / CQ__ROWS * cq_panel_bytes(w)
                                                  : first * w->cols * (cq_format_bits(w->format) / 8));
    if (a) cq_matmul_q8(s->ctx, y, ldy, &part, bias, a, n, false);
    else cq_matmul(s->ctx, y, ldy, &part, bias, h, w->cols, n, false);
    if (m->head_normalize)
        for (size_t v = 0; v < count; v++) {
            float length = cq__row_length(m, first + v);
            for (size_t r = 0; r < n; r++) y[r * ldy + v] = y[r * ldy + v] / length;
        }
    for (size_t r = 0; r < n; r++) {
        float *row = y + r * ldy;
        if (m->head_scale < 1.0f || m->head_scale > 1.0f)
            for (size_t v = 0; v < count; v++) row[v] = row[v] * m->head_scale;
        if (m->head_softcap > 0.0f)
            for (size_t v = 0; v < count; v++) row[v] = m->head_softcap * cq_tanhf(row[v] / m->head_softcap);
    }
}

CQUANT_DEF void cq_logits(cq_session *s, const uint32_t *rows, size_t n, float *out) {
    const cq_model *m = s->m;
    bool codes = cq__reads_codes(s, &m->head);
    for (size_t r0 = 0; r0 < n; r0 += s->desc.tile) {
        size_t count = cq__min(s->desc.tile, n - r0);
        const float *h = cq__head_input(s, rows, r0, count);
        if (codes) cq_quantize_acts(s->ctx, &s->acts, h, m->head.w.cols, count, m->head.w.cols);
        cq__head_part(s, h, codes ? &s->acts : NULL, count, 0, m->vocab, out + r0 * m->vocab, m->vocab);
    }
}

/* ===================================================================================================================
   [LESSON 7 generating]  masked diffusion: fill the masks, the surest first

   A diffusion model sees the whole sequence, with a mask id where no token is known yet, and gives for every masked
   position a distribution over the vocabulary. A step fills some of the masks; the next pass sees them filled. Source:
   Dream's diffusion_generate, and Fast-dLLM's block-wise decoding for the caches.

       one row of logits -> [filter] temperature, top_p, top_k -> [draw] one token and how sure it is
       or, if the likeliest token is taken, tile by tile of the head, without a row -> [pick] the same
       all masked positions -> [schedule] how many are filled in this step -> [choose] which

   Everything random comes from cq_random(seed, stream, counter), counter = position in the sequence, stream = step
   (plus one high bit for each kind of decision): the same seed gives the same text on every machine, whatever the order
   of the work.
   ================================================================================================================== */
#define CQ__PICK_CHUNK 512u                  /* logits that are reduced at a time: fixes the order of the sums */
#define CQ__GEN_TILE 1024u                   /* tokens of a tile of the head, a multiple of that; for few rows more */
#define CQ__GEN_ROWS 32u                     /* and its rows: 128 KiB of logits */
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
CQUANT_DEF const char *cq_cache_name(cq_cache cache) {
    switch (cache) {
    case CQ_CACHE_NONE: return "none";
    case CQ_CACHE_PREFIX: return "prefix";
    case CQ_CACHE_DUAL: return "dual";
    case CQ_CACHE_STEPS: return "steps";
    case CQ_CACHE_COUNT: break;
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

/* --- pick: the likeliest token, and how sure it is, from chunks of a row ------------------------------------------ */
/* What there is to know of the chunks so far. Each chunk has its own maximum m, and sums s = sum e^(l - m) and
   u = sum (l - m) e^(l - m); two chunks become one by moving the sums with the lower maximum, by d = m - M <= 0, to the
   higher: s e^d and (u + d s) e^d. Chunks of CQ__PICK_CHUNK logits in order, so a row gives the same bits whole and in
   tiles. In the end p(token) = 1 / s, the margin is (1 - e^(second - M)) / s, and sum p log p = u / s - log s. */
typedef struct cq__pick {
    float max, second, sum, weighted;
    uint32_t token; /* the lowest of equals */
} cq__pick;

static void cq__pick_start(cq__pick *p) {
    p->max = p->second = -CQ__INFINITY;
    p->sum = p->weighted = 0.0f;
    p->token = 0;
}

/* n <= CQ__PICK_CHUNK logits (overwritten) of the tokens from `first` on; sure: not only the token is wanted. What is
   no number is never chosen; what is infinite is only very large. */
static void cq__pick_chunk(const cq__kernels *k, cq__pick *p, float *x, size_t n, size_t first, bool sure,
                           cq_alg alg) {
    const float largest = cq__float(0x7f7fffffu), least = -200.0f; /* e^least is 0 */
    float e[CQ__PICK_CHUNK], weighted = 0.0f;
    for (size_t i = 0; i < n; i++) x[i] = x[i] != x[i] ? -CQ__INFINITY : x[i] > largest ? largest : x[i];
    float max = k->largest(x, n);
    size_t at = 0;
    if (!(max > -CQ__INFINITY)) return;
    bool higher = max > p->max;
    if (higher || (sure && alg == CQ_ALG_TOPK_MARGIN))
        while (x[at] < max) at++;
    if (sure && alg == CQ_ALG_TOPK_MARGIN) {
        x[at] = -CQ__INFINITY;
        float second = k->largest(x, n), other = higher ? p->max : max;
        x[at] = max;
        if (second > p->second) p->second = second;
        if (other > p->second) p->second = other;
    }
    if (sure) {
        for (size_t i = 0; i < n; i++) {
            float d = x[i] - max;
            e[i] = x[i] = d < least ? least : d;
        }
        k->exp_minus(e, 0.0f, n);
        float sum = k->sum(e, n), d = higher ? p->max - max : max - p->max;
        if (alg == CQ_ALG_ENTROPY) weighted = k->dot(x, e, n);
        if (d < least) d = least;
        float f = cq_expf(d);
        if (higher) {
            p->weighted = (p->weighted + d * p->sum) * f + weighted;
            p->sum = p->sum * f + sum;
        } else {
            p->weighted = p->weighted + (weighted + d * sum) * f;
            p->sum = p->sum + sum * f;
        }
    }
    if (!higher) return;
    p->max = max;
    p->token = (uint32_t)(first + at);
}

static float cq__pick_confidence(const cq__pick *p, cq_alg alg) {
    if (!(p->max > -CQ__INFINITY)) return -CQ__INFINITY;
    if (alg == CQ_ALG_TOPK_MARGIN) return (1.0f - cq_expf(p->second - p->max)) / p->sum;
    if (alg == CQ_ALG_ENTROPY) return p->weighted / p->sum - cq_logf(p->sum);
    return 1.0f / p->sum;
}

/* The logits (overwritten) of the tokens first .. first + n - 1, chunk by chunk. */
static void cq__pick_row(const cq__kernels *k, cq__pick *p, float *x, size_t n, size_t first, bool sure, cq_alg alg) {
    for (size_t i = 0; i < n; i += CQ__PICK_CHUNK)
        cq__pick_chunk(k, p, x + i, cq__min(CQ__PICK_CHUNK, n - i), first + i, sure, alg);
}

/* Does a row of logits have to be there as a whole? */
static bool cq__filters(const cq_generate_desc *d) {
    return (d->top_p > 0.0f && d->top_p < 1.0f) || d->top_k > 0;
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
    if (!(d->temperature > 0.0f) && (!confidence || !cq__filters(d))) { /* no filter removes the likeliest */
        cq__pick p;
        cq__pick_start(&p);
        cq__pick_row(k, &p, x, n, 0, confidence != NULL, d->alg);
        if (confidence) *confidence = cq__pick_confidence(&p, d->alg);
        return (int32_t)p.token;
    }
    for (size_t i = 0; i < n; i++) { /* as in cq__pick_chunk */
        float v = d->temperature > 0.0f ? x[i] / d->temperature : x[i];
        x[i] = v != v ? -CQ__INFINITY : v > largest ? largest : v;
    }
    float max = k->largest(x, n);
    if (!(max > -CQ__INFINITY)) {
        if (confidence) *confidence = -CQ__INFINITY;
        return 0;
    }
    size_t token = 0;
    while (x[token] < max) token++; /* the first of equals; no filter removes it */
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

/* LLaDA's: of the masks there were, as many go in each step, and one more in the first ones, for the remainder. */
static size_t cq__gen_share(size_t masks, size_t steps, size_t i) { return masks / steps + (i < masks % steps); }

static size_t cq__gen_quota(size_t masks, float eps, size_t steps, size_t i) {
    float part = (float)masks * cq__gen_part(eps, steps, i);
    if (i + 1 >= steps) return masks;
    return part > 0.0f ? cq__min((size_t)part, masks) : 0;
}

/* --- one pass, and the predictions from it ------------------------------------------------------------------------ */
static void cq__gen_input(const cq_generator *g, cq_input *in, size_t first, size_t n, const uint8_t *keep) {
    cq__fill(in, 0, sizeof *in);
    in->ids = g->ids + first;
    in->n = n;
    in->slot = first;
    in->visible = g->n;
    in->positions = g->positions ? g->positions + first : NULL;
    in->keep = keep;
    in->allow = g->desc.allow ? g->desc.allow + first * g->n : NULL;
    in->bias = g->desc.bias ? g->desc.bias + first * g->n : NULL;
    in->ld_mask = g->n;
}

/* Runs rows [first, end) against all n cache slots. */
static cq_status cq__gen_pass(cq_generator *g, size_t first, size_t end, const uint8_t *keep, cq_error *err) {
    cq_input in;
    g->first = first;
    g->active = 0;
    if (first >= end) return CQ_OK;
    cq__gen_input(g, &in, first, end - first, keep);
    g->stats.forwards++;
    g->stats.rows += in.n;
    return cq_forward(g->s, &in, err);
}

static bool cq__gen_is_mask(const cq_generator *g, size_t p) { return g->ids[p] == g->s->m->mask_id; }

/* STEPS, between full passes: the rows that are masked, that predict a mask, or that have changed since. */
static cq_status cq__gen_pass_some(cq_generator *g, cq_error *err) {
    bool shift = g->s->m->arch.shift;
    cq_input in;
    size_t n = 0;
    for (size_t p = g->lead; p < g->n; p++) {
        bool predicts = shift && p + 1 < g->n && cq__gen_is_mask(g, p + 1);
        if (!predicts && !cq__gen_is_mask(g, p) && g->ids[p] == g->last[p]) continue;
        g->slots[n] = (uint32_t)p;
        g->some_ids[n] = g->ids[p];
        if (g->positions) g->some_positions[n] = g->positions[p];
        if (g->some_allow) cq__copy(g->some_allow + n * g->n, g->desc.allow + p * g->n, g->n);
        if (g->some_bias) cq__copy(g->some_bias + n * g->n, g->desc.bias + p * g->n, g->n * sizeof(float));
        n++;
    }
    g->active = n;
    if (!n) return CQ_OK;
    cq__gen_input(g, &in, 0, n, g->keep);
    in.ids = g->some_ids;
    in.slots = g->slots;
    in.slot = g->slots[0];
    in.positions = g->positions ? g->some_positions : NULL;
    in.allow = g->some_allow;
    in.bias = g->some_bias;
    g->stats.forwards++;
    g->stats.rows += n;
    return cq_forward(g->s, &in, err);
}

/* The pass of a step without blocks that are cached. */
static bool cq__gen_full(const cq_generator *g) {
    return g->desc.cache != CQ_CACHE_STEPS || !g->passes || g->passes >= g->desc.refresh;
}
static cq_status cq__gen_pass_all(cq_generator *g, cq_error *err) {
    return cq__gen_full(g) ? cq__gen_pass(g, g->lead, g->n, g->keep, err) : cq__gen_pass_some(g, err);
}
/* Its predictions are there; not before, as a step that is cancelled runs the same pass again. */
static void cq__gen_passed(cq_generator *g) {
    if (g->desc.cache != CQ_CACHE_STEPS) return;
    g->passes = cq__gen_full(g) ? 1 : g->passes + 1;
    cq__copy(g->last, g->ids, g->n * sizeof *g->last);
}

typedef struct cq__gen_batch {
    cq_generator *g;
    const cq_generate_desc *desc;
    bool sure;          /* confidence is wanted */
    size_t first, n;    /* the candidates item[first], ... ; of a tile: so many tokens, */
    size_t token, size; /* from this one on, and whole rows have so many floats */
} cq__gen_batch;

static void cq__gen_draw(void *arg, size_t i) {
    cq__gen_batch *b = (cq__gen_batch *)arg;
    cq_generator *g = b->g;
    size_t j = g->item[b->first + i];
    g->token[j] = cq__draw(g->s->ctx->k, g->logits + i * b->size, b->size, b->desc, g->step, g->where[j],
                           b->sure ? g->confidence + j : NULL);
}

static void cq__gen_pick(void *arg, size_t i) {
    cq__gen_batch *b = (cq__gen_batch *)arg;
    cq_generator *g = b->g;
    cq__pick_row(g->s->ctx->k, &g->pick[b->first + i], g->logits + i * b->n, b->n, b->token, b->sure, b->desc->alg);
}

/* Whole rows of logits, head_rows of them at a time. */
static cq_status cq__gen_rows(cq_generator *g, cq__gen_batch *b, size_t count, cq_error *err) {
    const cq_generate_desc *d = &g->desc;
    b->size = g->s->m->vocab;
    cq__work_begin(g->s, cq__product_work(&g->s->m->head.w, count));
    for (b->first = 0; b->first < count; b->first += d->head_rows) {
        size_t n = cq__min(d->head_rows, count - b->first);
        cq_logits(g->s, g->row + b->first, n, g->logits);
        if (d->logits) {
            for (size_t i = 0; i < n; i++) g->order[i] = g->where[g->item[b->first + i]];
            if (!d->logits(d->user, g->step, g->order, n, g->logits)) {
                g->done = true;
                return cq_fail(err, CQ_ERR_CANCELLED, "the logits hook ended the generation");
            }
        }
        cq_parallel_for(g->s->ctx, n, cq__gen_draw, b);
        cq__worked(g->s, cq__product_work(&g->s->m->head.w, n));
        if (g->s->cancelled) return cq__cancelled(err);
    }
    return CQ_OK;
}

/* The rows a0 .. a0 + n - 1 of codes, as codes of their own. */
static const cq_acts *cq__acts_rows(cq_acts *part, const cq_acts *a, size_t a0, size_t n) {
    part->q = a->q + a0 * a->stride;
    part->sum = a->sum + a0;
    part->ld_sum = a->ld_sum;
    part->group_size = a->group_size;
    part->scale = a->scale + a0;
    part->n = n;
    part->cols = a->cols;
    part->stride = a->stride;
    part->bits = a->bits;
    return part;
}

/* The head, tile by tile of the vocabulary, for all rows of the pass that need it: its weights are read once, and the
   logits of a tile are reduced while they are in the cache. */
static cq_status cq__gen_stream(cq_generator *g, cq__gen_batch *b, size_t count, cq_error *err) {
    cq_session *s = g->s;
    const cq_model *m = s->m;
    size_t rows = cq__min(s->desc.tile, CQ__GEN_ROWS), cols = m->head.w.cols;
    bool codes = cq__reads_codes(s, &m->head);
    cq_acts part;
    for (size_t r = 0; r < count; r += rows) {
        size_t n = cq__min(rows, count - r);
        const float *h = cq__head_input(s, g->row, r, n);
        if (codes) {
            (void)cq__acts_rows(&part, &g->acts, r, n);
            cq_quantize_acts(s->ctx, &part, h, cols, n, cols);
        } else {
            cq__copy(g->hidden + r * cols, h, n * cols * sizeof(float));
        }
    }
    for (size_t i = 0; i < count; i++) cq__pick_start(&g->pick[i]);
    cq__work_begin(s, cq__product_work(&m->head.w, count));
    b->size = CQ__GEN_TILE * (count < rows ? rows / count : 1);
    for (b->token = 0; b->token < m->vocab; b->token += b->size) {
        b->n = cq__min(b->size, m->vocab - b->token);
        for (b->first = 0; b->first < count; b->first += rows) {
            size_t n = cq__min(rows, count - b->first);
            cq__head_part(s, codes ? NULL : g->hidden + b->first * cols,
                          codes ? cq__acts_rows(&part, &g->acts, b->first, n) : NULL, n, b->token, b->n, g->logits,
                          b->n);
            cq_parallel_for(s->ctx, n, cq__gen_pick, b);
            cq__worked(s, 2 * (uint64_t)b->n * cols * n);
            if (s->cancelled) return cq__cancelled(err);
        }
    }
    for (size_t i = 0; i < count; i++) {
        size_t j = g->item[i];
        g->token[j] = (int32_t)g->pick[i].token;
        if (b->sure) g->confidence[j] = cq__pick_confidence(&g->pick[i], b->desc->alg);
    }
    return CQ_OK;
}

/* Tokens and confidences of the candidates item[0 .. count), which the rows row[] of the last pass predict. */
static cq_status cq__gen_head(cq_generator *g, const cq_generate_desc *desc, bool sure, size_t count, cq_error *err) {
    cq__gen_batch b;
    b.g = g;
    b.desc = desc;
    b.sure = sure;
    b.first = b.n = b.token = b.size = 0;
    g->stats.head_rows += count;
    return g->whole ? cq__gen_rows(g, &b, count, err) : cq__gen_stream(g, &b, count, err);
}

/* Fills token[j] and, if `sure`, confidence[j] for the candidates where[0 .. count) after a pass. In models that shift,
   the row before a position predicts it; position 0 has only its own row, and so has the first position of a window. No
   other row goes through lm_head. */
static cq_status cq__gen_predict(cq_generator *g, const cq_generate_desc *desc, bool sure, bool window, size_t count,
                                 cq_error *err) {
    cq_status status = CQ_OK;
    size_t seen = 0, unseen = 0, at = 0;
    for (size_t j = 0; j < count; j++) {
        size_t p = g->where[j], row = p > 0 && g->s->m->arch.shift ? p - 1 : p;
        if (window && row < g->first) row = g->first;
        if (g->keep && !g->keep[row]) { /* from the end: what is left when all others are done */
            g->item[count - ++unseen] = (uint32_t)j;
            continue;
        }
        while (at < g->active && g->slots[at] < row) at++;
        g->row[seen] = (uint32_t)(g->active ? at : row - g->first);
        g->item[seen++] = (uint32_t)j;
    }
    if (seen) status = cq__gen_head(g, desc, sure, seen, err);
    for (size_t i = seen; status == CQ_OK && i < count; i++) { /* padding sees nothing: a pass of its own */
        size_t j = g->item[i], p = g->where[j], row = p > 0 && g->s->m->arch.shift ? p - 1 : p;
        status = cq__gen_pass(g, row, row + 1, g->none, err);
        g->row[0] = 0;
        g->item[0] = (uint32_t)j;
        if (status == CQ_OK) status = cq__gen_head(g, desc, sure, 1, err);
    }
    return status;
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
    size_t taken = 0;
    for (size_t j = 0; d->exit > 0.0f && j < count; j++) {
        if (g->confidence[j] < (d->alg == CQ_ALG_ENTROPY ? -d->exit : d->exit)) continue;
        if (cq__gen_take(g, j)) changed = true;
        taken++;
    }
    for (size_t j = 0; d->alg_temp > 0.0f && j < count; j++)
        g->confidence[j] = g->confidence[j] / d->alg_temp +
                           cq__gen_gumbel(cq_random(d->seed, g->step | CQ__GEN_ORDER, g->where[j]));
    for (size_t i = taken; i < take; i++)
        if (cq__gen_take_best(g, count)) changed = true;
    return changed;
}

/* Masked positions of the present range, in order, into where[]. */
static size_t cq__gen_masks(cq_generator *g) {
    size_t count = 0;
    for (size_t p = g->from; p < g->to; p++)
        if (cq__gen_is_mask(g, p)) g->where[count++] = (uint32_t)p;
    return count;
}

/* origin: every masked position decides by itself; where[] keeps those that go. */
static size_t cq__gen_toss(cq_generator *g, size_t count) {
    const cq_generate_desc *d = &g->desc;
    float part = d->schedule == CQ_SCHEDULE_TIME ? cq__gen_part(d->eps, g->rounds, g->round)
                                                 : 1.0f / (float)(g->rounds - g->round);
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
/* Are keys and values kept for a block? */
static bool cq__gen_windows(const cq_generate_desc *d) {
    return d->cache == CQ_CACHE_PREFIX || d->cache == CQ_CACHE_DUAL;
}

/* Goes on to the next block that has masks. */
static void cq__gen_next_range(cq_generator *g) {
    while (g->desc.block_length && g->to < g->n) {
        g->from = g->to;
        g->to += g->desc.block_length;
        g->window = g->enter = cq__gen_windows(&g->desc);
        g->round = g->window && g->s->m->arch.shift; /* its round 0 is the full pass, which fills the first position */
        if (g->desc.tokens || cq__gen_masks(g)) return;
    }
    g->done = true;
}

/* Resolves defaults and refuses what has no meaning. */
static cq_status cq__gen_check(cq_generate_desc *d, const cq_session *s, size_t n, size_t prompt, const uint8_t *keep,
                               cq_error *err) {
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
    if ((unsigned)d->alg >= CQ_ALG_COUNT || (unsigned)d->cache >= CQ_CACHE_COUNT ||
        (unsigned)d->schedule >= CQ_SCHEDULE_COUNT)
        return cq_fail(err, CQ_ERR_ARG, "unknown alg, cache or schedule");
    if (d->steps == 0) d->steps = 512;
    if (d->steps > 16777216)
        return cq_fail_at(err, CQ_ERR_ARG, "steps must be at most 16777216", NULL, 0, UINT64_MAX, (int64_t)d->steps);
    if (d->eps == 0.0f) d->eps = 0.001f;
    if (!(d->eps > 0.0f && d->eps < 1.0f)) return cq_fail(err, CQ_ERR_ARG, "eps must lie between 0 and 1");
    if (!(d->temperature >= 0.0f) || !(d->top_p >= 0.0f) || !(d->alg_temp >= 0.0f) || !(d->threshold >= 0.0f) ||
        !(d->exit >= 0.0f))
        return cq_fail(err, CQ_ERR_ARG, "temperature, top_p, alg_temp, threshold and exit must be 0 (off) or positive");
    if ((keep != NULL) + (d->allow != NULL) + (d->bias != NULL) > 1)
        return cq_fail(err, CQ_ERR_ARG, "of keep, allow and bias one at most can be given");
    if (d->refresh == 0) d->refresh = 8;
    if (d->head_rows == 0) d->head_rows = 32;
    d->head_rows = cq__min(d->head_rows, n);
    if (d->schedule == CQ_SCHEDULE_DEFAULT) d->schedule = m->arch.shift ? CQ_SCHEDULE_TIME : CQ_SCHEDULE_EVEN;
    if (cq__gen_windows(d)) {
        d->alg = d->threshold > 0.0f ? CQ_ALG_MASKGIT_PLUS : CQ_ALG_ENTROPY;
        if (d->block_length == 0) d->block_length = 32;
    } else {
        if (d->threshold > 0.0f) d->alg = CQ_ALG_ENTROPY;
        d->threshold = 0.0f;
        if (d->schedule == CQ_SCHEDULE_TIME) d->block_length = 0;
    }
    if (d->exit > 0.0f && (d->alg == CQ_ALG_ORIGIN || d->threshold > 0.0f))
        return cq_fail(err, CQ_ERR_ARG, "exit needs an alg that knows how sure it is (not origin), and no threshold");
    if (d->block_length == 0) return CQ_OK;
    if ((n - prompt) % d->block_length)
        return cq_fail_at(err, CQ_ERR_ARG, "in blocks, the number of new tokens must be a multiple of block_length",
                          NULL, 0, UINT64_MAX, (int64_t)(n - prompt));
    size_t blocks = (n - prompt) / d->block_length;
    if (!(d->threshold > 0.0f) && blocks && d->steps % blocks)
        return cq_fail_at(err, CQ_ERR_ARG,
                          "in blocks, steps must be a multiple of the number of blocks (new tokens / block_length)",
                          NULL, 0, UINT64_MAX, (int64_t)d->steps);
    return CQ_OK;
}

/* What the head needs: whole rows, or the rows that go into it and a tile of what comes out. */
static void cq__gen_head_alloc(cq_generator *g, cq_arena *arena) {
    const cq_generate_desc *d = &g->desc;
    const cq_session *s = g->s;
    size_t n = g->n, cols = s->m->head.w.cols;
    g->whole = d->temperature > 0.0f || cq__filters(d) || d->logits;
    g->hidden = NULL;
    g->pick = NULL;
    cq__fill(&g->acts, 0, sizeof g->acts);
    if (g->whole) {
        g->logits = (float *)cq__alloc_2d(arena, d->head_rows, s->m->vocab, sizeof(float));
        return;
    }
    g->logits = (float *)cq_alloc(arena, cq__min(s->desc.tile, CQ__GEN_ROWS), CQ__GEN_TILE * sizeof(float));
    g->pick = (cq__pick *)cq_alloc(arena, n, sizeof(cq__pick));
    if (cq__reads_codes(s, &s->m->head)) {
        cq_acts_alloc(&g->acts, arena, n, cols);
        g->acts.bits = s->acts.bits;
    } else {
        g->hidden = (float *)cq__alloc_2d(arena, n, cols, sizeof(float));
    }
}

/* The plain loop's work, for comparison. */
static void cq__gen_naive(cq_generator *g) {
    cq_generate_stats *st = &g->stats;
    size_t masks = 0;
    for (size_t p = 0; p < g->n; p++) masks += cq__gen_is_mask(g, p);
    st->naive_forwards = g->desc.threshold > 0.0f ? masks : g->desc.steps;
    if (!cq__mul(st->naive_forwards, g->n, &st->naive_rows)) st->naive_rows = SIZE_MAX;
    st->naive_head_rows = st->naive_rows;
}

CQUANT_DEF cq_status cq_generate_begin(cq_generator *g, cq_session *s, const cq_generate_desc *desc, int32_t *ids,
                                       size_t n, size_t prompt, const uint8_t *keep, cq_arena *arena, cq_error *err) {
    cq__fill(g, 0, sizeof *g);
    cq__copy(&g->desc, desc, sizeof g->desc);
    g->s = s;
    g->ids = ids;
    g->n = n;
    g->prompt = prompt;
    g->done = true;
    cq_status status = cq__gen_check(&g->desc, s, n, prompt, keep, err);
    if (status != CQ_OK) return status;

    const cq_generate_desc *d = &g->desc;
    cq__gen_head_alloc(g, arena);
    g->confidence = (float *)cq_alloc(arena, n, sizeof(float));
    g->where = (uint32_t *)cq_alloc(arena, n, sizeof(uint32_t));
    g->token = (int32_t *)cq_alloc(arena, n, sizeof(int32_t));
    g->row = (uint32_t *)cq_alloc(arena, n, sizeof(uint32_t));
    g->item = (uint32_t *)cq_alloc(arena, n, sizeof(uint32_t));
    if (d->logits) g->order = (uint32_t *)cq_alloc(arena, d->head_rows, sizeof(uint32_t));
    if (keep || d->positions) g->positions = (int32_t *)cq_alloc(arena, n, sizeof(int32_t));
    if (keep) {
        g->seen = (uint8_t *)cq_alloc(arena, n, 1);
        g->none = (uint8_t *)cq_alloc(arena, n, 1); /* zeros */
    }
    if (d->cache == CQ_CACHE_STEPS) {
        g->slots = (uint32_t *)cq_alloc(arena, n, sizeof(uint32_t));
        g->last = (int32_t *)cq_alloc(arena, n, sizeof(int32_t));
        g->some_ids = (int32_t *)cq_alloc(arena, n, sizeof(int32_t));
        if (keep || d->positions) g->some_positions = (int32_t *)cq_alloc(arena, n, sizeof(int32_t));
        if (d->allow) g->some_allow = (uint8_t *)cq__alloc_2d(arena, n, n, 1);
        if (d->bias) g->some_bias = (float *)cq__alloc_2d(arena, n, n, sizeof(float));
    }
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
        if (!hides && !d->positions) g->positions = NULL;
    }
    if (d->positions) cq__copy(g->positions, d->positions, n * sizeof *g->positions);
    cq__gen_naive(g);
    g->done = false;
    g->rounds = d->steps;
    g->to = n;
    if (d->block_length) { /* masks in the prompt: a range of its own with a cache, else they go with the first block */
        if (n > prompt) g->rounds /= (n - prompt) / d->block_length;
        g->to = cq__gen_windows(d) || n == prompt ? prompt : prompt + d->block_length;
    }
    if (!d->tokens && !cq__gen_masks(g)) cq__gen_next_range(g);
    return CQ_OK;
}

static cq_status cq__gen_hook(cq_generator *g, cq_error *err) {
    if (!g->desc.tokens || g->desc.tokens(g->desc.user, g->step, g->ids, g->n)) return CQ_OK;
    g->done = true;
    return cq_fail(err, CQ_ERR_CANCELLED, "the tokens hook ended the generation");
}

/* With a cache for blocks, a block of a model that shifts is entered with a full pass that fills its first position,
   as the row that predicts it stands before the window, and is computed only now. */
static cq_status cq__gen_enter(cq_generator *g, cq_error *err) {
    cq_status status = cq__gen_pass(g, g->lead, g->n, g->keep, err);
    if (status == CQ_OK && cq__gen_is_mask(g, g->from)) {
        cq_generate_desc likeliest;
        cq__copy(&likeliest, &g->desc, sizeof likeliest);
        likeliest.temperature = 0.0f;
        g->where[0] = (uint32_t)g->from;
        status = cq__gen_predict(g, &likeliest, false, false, 1, err);
        if (status == CQ_OK) g->changed = cq__gen_take(g, 0);
    }
    if (status == CQ_OK) g->enter = false;
    return status;
}

/* One step is: a pass over the rows, then some masks are filled. Without a cache all rows are computed; with STEPS,
   between full passes, those that something happened to. With PREFIX or DUAL, a block is entered with a pass over all
   rows, which leaves keys and values of everything in the session, and then only rows from the block on (prefix), or of
   the block (dual), are computed, in place.

   Two things of the reference are not computed because they change nothing: a pass after which the schedule fills no
   mask, and the steps after the last mask. In one thing we differ: where the schedule has a single step for a block,
   Fast-dLLM leaves all but the first token masked; we fill them.

   A step may be cancelled in every pass and every head, and then begins anew: what it has done counts only when the
   predictions are there (and the first position of a block, which is filled by a pass of its own). */
CQUANT_DEF cq_status cq_generate_step(cq_generator *g, cq_error *err) {
    const cq_generate_desc *d = &g->desc;
    bool by_threshold = d->threshold > 0.0f;
    cq_status status = CQ_OK;
    if (g->done) return CQ_OK;
    if (!g->begun) status = cq__gen_hook(g, err);
    g->begun = true;
    if (status == CQ_OK && g->enter && g->s->m->arch.shift) status = cq__gen_enter(g, err);
    if (status != CQ_OK) return status;

    size_t count = cq__gen_masks(g), take = count, begun = g->window && g->s->m->arch.shift; /* a round was the entry */
    if (g->round == begun) g->masks = count;
    if (d->alg == CQ_ALG_ORIGIN) take = count = cq__gen_toss(g, count);
    else if (d->schedule == CQ_SCHEDULE_EVEN && !by_threshold)
        take = cq__min(cq__gen_share(g->masks, g->rounds > begun ? g->rounds - begun : 1, g->round - begun), count);
    else if (!by_threshold) take = cq__gen_quota(count, d->eps, g->rounds, g->round);
    if (take) {
        bool sure = take < count || by_threshold; /* who takes all need not know how sure they are */
        bool window = g->window && !g->enter;     /* a full pass that enters a block fills some of it itself */
        if (window) status = cq__gen_pass(g, g->from, d->cache == CQ_CACHE_DUAL ? g->to : g->n, g->keep, err);
        else status = cq__gen_pass_all(g, err);
        if (status == CQ_OK) status = cq__gen_predict(g, d, sure, window, count, err);
        if (status != CQ_OK) return status;
        g->enter = false;
        cq__gen_passed(g);
        if (cq__gen_choose(g, count, take, by_threshold)) g->changed = true;
    }
    bool changed = g->changed;
    g->changed = false;
    g->step++;
    g->round++;
    g->stats.steps++;
    if ((status = cq__gen_hook(g, err)) != CQ_OK) return status;
    if (d->history && g->step <= d->history_rows)
        cq__copy(d->history + (g->step - 1) * g->n, g->ids, g->n * sizeof *g->ids);
    /* A pass that changed nothing would only be repeated: the model insists on the mask id. */
    bool none = !cq__gen_masks(g);
    if (by_threshold ? none || !changed : g->round >= g->rounds || (none && !d->tokens)) cq__gen_next_range(g);
    return CQ_OK;
}

/* --- causal models ------------------------------------------------------------------------------------------------ */
CQUANT_DEF cq_status cq_generate_next(cq_session *s, const cq_generate_desc *desc, int32_t *ids, size_t n,
                                      size_t max_new, int32_t eos_id, size_t *count, cq_generate_stats *stats,
                                      cq_arena *arena, cq_error *err) {
    size_t most = s->desc.max_rows ? s->desc.max_rows : s->desc.max_tokens, done = 0, written = 0, total;
    cq_generate_stats st;
    cq__fill(&st, 0, sizeof st);
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
        cq__fill(&in, 0, sizeof in);
        while (done < n + written && status == CQ_OK) { /* the prompt, in parts if need be; then one token each time */
            in.ids = ids + done;
            in.n = cq__min(n + written - done, most);
            in.slot = done;
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

/* --- two streams, guided ------------------------------------------------------------------------------------------ */
/* As published, the token that crosses top_p is not kept, unless it is the only one. */
static void cq__draw_below_top_p(const cq__kernels *k, float *x, size_t n, float top_p) {
    size_t last = 0, kept = 0;
    cq__draw_top_p(x, n, k->largest(x, n), top_p);
    for (size_t i = 0; i < n; i++) {
        if (!(x[i] > -CQ__INFINITY)) continue;
        if (!kept++ || x[i] <= x[last]) last = i;
    }
    if (kept > 1) x[last] = -CQ__INFINITY;
}

CQUANT_DEF cq_status cq_generate_guided(cq_session *cond, cq_session *uncond, float guidance,
                                        const cq_generate_desc *desc, int32_t *ids, size_t n, cq_generate_stats *stats,
                                        cq_arena *arena, cq_error *err) {
    const cq_model *m = cond->m;
    cq_generate_desc draw;
    size_t vocab = m->codebook_rows;
    float *logits = (float *)cq_alloc(arena, m->vocab, sizeof(float)),
          *other = (float *)cq_alloc(arena, m->vocab, sizeof(float));
    int32_t token = (int32_t)vocab; /* bos */
    cq_generate_stats st;
    cq__fill(&st, 0, sizeof st);
    cq__copy(&draw, desc, sizeof draw);
    if (!m->two_streams || uncond->m != m || !vocab)
        return cq_fail(err, CQ_ERR_UNSUPPORTED, "guided generation needs two sessions of a model with two streams");
    if (!(guidance - guidance == 0.0f)) return cq_fail(err, CQ_ERR_ARG, "guidance should be a finite number");
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "the arena is too small for two rows of logits");
    if (!arena->base) return CQ_OK;
    draw.temperature = desc->top_p > 0.0f ? 1.0f : 0.0f;
    draw.top_p = 0.0f;
    draw.top_k = 0;
    for (size_t i = 0; i < n; i++) {
        float g = guidance * (float)(n - i) / (float)n;
        uint32_t row = 0;
        for (int k = 0; k < 2; k++) {
            cq_session *s = k ? uncond : cond;
            cq_input in;
            cq_status status;
            cq__fill(&in, 0, sizeof in);
            in.ids = &token;
            in.n = 1;
            in.slot = i;
            if ((status = cq_forward(s, &in, err)) != CQ_OK) return status;
            cq_logits(s, &row, 1, k ? other : logits);
            st.forwards++;
            st.rows++;
            st.head_rows++;
        }
        for (size_t v = 0; v < vocab; v++) logits[v] = (1.0f + g) * logits[v] - g * other[v];
        if (desc->top_p > 0.0f && desc->top_p < 1.0f) cq__draw_below_top_p(cond->ctx->k, logits, vocab, desc->top_p);
        token = cq__draw(cond->ctx->k, logits, vocab, &draw, i, i, NULL);
        ids[i] = token;
        st.steps++;
        if (stats) *stats = st;
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

   Which linear is which stands in the table of roles; nothing here knows an architecture. Norms of q and k and rope are
   untouched, because nothing between them and the scores is rotated. Where projections stand at the ends (opt-350m),
   they are the writer and the reader, and the embedding and the head stay as they are. Two streams have an R1 each;
   blocks that see each other's values, or read those of an earlier layer, have one R2.

   LayerNorm takes away the mean as well: it commutes with R if the mean of x R is that of x, which is so if R maps the
   vector of ones to itself. So R1 is followed by the reflection that brings the image of that vector back to it, and
   nothing that writes the stream need be centred first: the mean may be there, as it was. (Centring, SliceGPT's way,
   makes RMSNorms of LayerNorms; here they stay what they are. Without it, streams that some norm reads with their mean,
   or no norm at all, rotate as well.) The bias c of a norm that is folded stays where it is: its readers, folded and
   rotated, want R1^T (c / g).

   A norm whose gain is one number for all channels commutes as it is: it is not folded, and may stand anywhere, also
   after a block or a sum, where it writes the stream, and its bias turns as a vector of the stream does. With an uneven
   gain there it cannot be. For what enters such a norm could only be turned by an orthogonal A, lengths being kept, and
   the gain be replaced by another g': diag(g) R1 = A diag(g') up to a factor. Multiplied with their transposes the two
   sides give R1^T diag(g)^2 R1 = diag(g')^2: the columns of R1 are eigenvectors of diag(g)^2, so R1 keeps the channels
   of each size of gain among themselves, and is no rotation that would spread anything.

   A front end (what sees or hears) meets the stream where its last linear's output takes the place of embeddings, or is
   added: a writer as any other, if the description says which it is.

   Two places are out of R1's and R2's reach, because what stands before them is not linear: the input of `down`, after
   activation and gate, which has the largest outliers of all, and queries and keys after rope. There the runtime turns
   the vectors itself ("online"):

       R4   down(h) = W h = (W R4) (R4^T h)      the stored weight is W R4: so the file must say it, r4=N
       R3   q . k = (R3^T q) . (R3^T k)          nothing stored changes; the keys in the cache are turned: r3=N

   Both are Hadamard matrices without signs: n log n additions, no memory but for cores. Neither changes a logit; what
   they change is how well 4-bit activations (R4) and a low-bit cache (R3) keep what they round. A directory of Hugging
   Face has no place for such a word, so only .cq files have online rotations.
   ================================================================================================================== */
/* R1 of the stream that this block is in (NULL: the ends of the model); NULL: it is not rotated. */
static const cq_rotate_stream *cq__r1(const cq_rotate_plan *plan, const cq_block *b) {
    const cq_rotate_stream *s = plan ? &plan->r1[b && b->text] : NULL;
    return s && s->on ? s : NULL;
}
static bool cq__r2(const cq_rotate_plan *plan, const cq_model *m, const cq_block *b) {
    return plan && plan->r2 && b && plan->r2[b - m->blocks].n;
}
/* The online rotation of this block: R3 of attention, R4 of the others; NULL: none */
static const cq_rotation *cq__online(const cq_rotate_plan *plan, const cq_block *b) {
    return plan && b && plan->online_at[b->desc] ? &plan->online[plan->online_at[b->desc] - 1] : NULL;
}

/* The k-th gain. wide: as exact as it is stored, also where 1 + w is more than a float holds. */
static double cq__gain_at(const cq_norm *norm, size_t k, bool wide) {
    float w;
    if (!norm->gain) return 1.0;
    if (!wide || !norm->plus_one) return (double)cq__f32(norm->gain + 4 * k);
    cq_tensor_span(&norm->stored_gain->t, 0, k, 1, &w);
    return 1.0 + (double)w;
}
/* Has this norm of n channels a gain that must be folded before the stream turns: not the same in all of them? */
static bool cq__uneven(const cq_norm *norm, size_t n) {
    double first = cq__gain_at(norm, 0, true);
    for (size_t k = 1; norm->on && norm->gain && k < n; k++) {
        double g = cq__gain_at(norm, k, true);
        if (g < first || g > first) return true;
    }
    return false;
}
/* The k-th bias as it stands beside a gain of 1; *lost: there is no such number. */
static double cq__bias_at(const cq_norm *norm, size_t k, bool folded, bool wide, bool *lost) {
    double b = (double)cq__f32(norm->bias + 4 * k), g = folded ? cq__gain_at(norm, k, wide) : 1.0;
    if (g < 0.0 || g > 0.0) return b / g;
    if (lost && (b < 0.0 || b > 0.0)) *lost = true;
    return 0.0;
}

/* What reads the stream at its end, after the final norm: the head, or the projection before it. */
static const cq_linear *cq__last_reader(const cq_model *m) {
    return m->head_dense.w.rows ? &m->head_dense : m->head_out.w.rows ? &m->head_out : &m->head;
}
CQUANT_DEF bool cq_rotate_unties(const cq_rotate_plan *plan, const cq_model *m) {
    if (!m->tied || !cq__r1(plan, NULL) || m->embed_in.w.rows) return false;
    return cq__last_reader(m) != &m->head || cq__uneven(&m->norm, m->hidden); /* else both ends turn alike */
}

/* A norm of this stream: if it is uneven it must be folded, unless `stays` says why it cannot be. true: it stands in
   the way. */
static bool cq__norm_obstacle(const cq_model *m, const cq_norm *norm, const char *stays, cq_rotate_stream *r1) {
    bool lost = false;
    if (!norm->on) return false;
    r1->mean = r1->mean || norm->kind == CQ_NORM_LAYER;
    if (!cq__uneven(norm, m->hidden)) return false;
    for (size_t k = 0; norm->bias && k < m->hidden; k++) (void)cq__bias_at(norm, k, true, true, &lost);
    if (!stays && !lost) return false;
    r1->why = stays ? stays : "a norm with a bias where its gain is zero, which no gain of 1 can have";
    r1->why_name.p = norm->stored_gain->name;
    r1->why_name.n = norm->stored_gain->name_len;
    return true;
}
/* Sets r1->why, if this stream cannot be rotated exactly, and r1->mean. */
static void cq__r1_obstacle(const cq_model *m, bool text, cq_rotate_stream *r1) {
    for (size_t i = 0; i < m->block_count; i++) {
        const cq_block *b = &m->blocks[i];
        const char *stays = b->keep < 0.0f || b->keep > 0.0f ? "a stream that is the normed input: its gain stays in it"
                            : b->identity ? "experts that give their input back: its norm's gain enters the stream"
                                          : NULL;
        if (b->text != text) continue;
        if (cq__norm_obstacle(m, &b->norm[CQ_NORM_PRE], stays, r1) ||
            cq__norm_obstacle(m, &b->norm[CQ_NORM_POST],
                              "a norm after a block, before the sum: its uneven gain cannot be folded", r1) ||
            cq__norm_obstacle(m, &b->norm[CQ_NORM_AFTER], "a norm of the sum: its uneven gain stays in the stream",
                              r1) ||
            cq__norm_obstacle(m, &b->norm[CQ_NORM_JOINT],
                              "a norm of what blocks beside each other add: its uneven gain cannot be folded", r1) ||
            (b->kind == CQ_BLOCK_MOE && cq__norm_obstacle(m, &b->norm[CQ_NORM_ROUTER], NULL, r1)))
            return;
    }
    if (text) return;
    if (cq__norm_obstacle(m, &m->embed_norm, "a norm after the embedding: its uneven gain stays in the stream", r1) ||
        cq__norm_obstacle(m, &m->norm, m->head_normalize && cq__last_reader(m) == &m->head
                                           ? "a head whose rows are brought to length 1: no gain can be folded into it"
                                           : NULL, r1))
        return;
    if (m->sinusoid) r1->why = "computed positions, which no tensor holds";
    for (size_t i = 0; !r1->why && i < m->weights.count; i++) {
        const cq_named *n = &m->weights.list[i];
        if (m->used[i] || cq__carried(m, n) != CQ__CARRY_UNKNOWN) continue;
        r1->why = "a module that is only carried along, and may read or write the stream";
        r1->why_name.p = n->name;
        r1->why_name.n = n->name_len;
    }
}

/* Why the values of this block's heads are not free to be rotated, as far as it alone goes; NULL: they are. */
static const char *cq__r2_own(const cq_block *b) {
    if (b->kind > CQ_BLOCK_MLA || !(b->at[CQ_ROLE_O] || b->text)) return "a block without values of heads and an o";
    if (b->at[CQ_ROLE_OUT_GATE] || b->q_gate) return "a gate of single values of the heads";
    if (b->norm[CQ_NORM_SUB].on) return "a norm of the heads' output, whose gain is of single values";
    if (b->norm[CQ_NORM_V].on) return "a norm of the values";
    if (b->clip > 0.0f) return "single values that are clipped";
    if (b->v_dim < 2) return "heads of a single value";
    if (b->lender || b->kind == CQ_BLOCK_MLA || b->at[CQ_ROLE_V] || b->at[CQ_ROLE_QKV] || b->at[CQ_ROLE_KV])
        return NULL;
    return "values that are the keys";
}
/* The first block that keeps its values where this one does: all of these have one R2. NULL: one of them is not free,
   and *why (may be NULL) is what stands in the way. */
static const cq_block *cq__r2_first(const cq_model *m, const cq_block *b, const char **why) {
    const cq_block *first = NULL;
    bool alone = !m->two_streams && !b->lends && !b->lender;
    const char *reason = cq__r2_own(b);
    for (const cq_block *o = m->blocks; !alone && !reason && o < m->blocks + m->block_count; o++) {
        if (o->kind > CQ_BLOCK_MLA || o->cache_k != b->cache_k) continue;
        reason = o->v_dim == b->v_dim ? cq__r2_own(o) : "blocks with other heads that read these values";
        if (!first) first = o;
    }
    if (why) *why = reason;
    return reason ? NULL : alone ? b : first;
}
static const char *cq__r2_obstacle(const cq_model *m, const cq_block *b) {
    const char *why;
    (void)cq__r2_first(m, b, &why);
    return why;
}
CQUANT_DEF const char *cq_rotate_obstacle(const cq_model *m, const cq_block *block) {
    cq_rotate_stream r1;
    if (block) return cq__r2_obstacle(m, block);
    cq__fill(&r1, 0, sizeof r1);
    cq__r1_obstacle(m, false, &r1);
    return r1.why;
}

static cq_status cq__rotation_auto(cq_rotation *r, size_t n, uint64_t seed, uint64_t stream, cq_arena *arena,
                                   cq_error *err) {
    cq_arena before = *arena;
    cq_status st = cq_rotation_init(r, CQ_ROTATE_HADAMARD, n, seed, stream, arena, err);
    if (st != CQ_ERR_UNSUPPORTED) return st;
    *arena = before;
    return cq_rotation_init(r, CQ_ROTATE_ORTHOGONAL, n, seed, stream, arena, err);
}

/* u with x - 2 u (u.x) bringing the image of (1, ..., 1) / sqrt(n) under R1 back to it; 0 if it is there already */
static cq_status cq__mirror(cq_rotate_stream *r1, const cq_context *ctx, size_t n, void *scratch, cq_error *err) {
    double one = 1.0 / cq__sqrt((double)n), length = 0.0;
    cq_status st;
    for (size_t i = 0; i < n; i++) r1->mirror[i] = one;
    if ((st = cq_rotate_rows_f64(ctx, &r1->r, r1->mirror, 1, n, n, scratch)) != CQ_OK)
        return cq_fail(err, st, "the rotation of the stream failed");
    for (size_t i = 0; i < n; i++) {
        r1->mirror[i] = r1->mirror[i] - one;
        length = length + r1->mirror[i] * r1->mirror[i];
    }
    length = cq__sqrt(length);
    for (size_t i = 0; i < n; i++) r1->mirror[i] = length > 1e-12 ? r1->mirror[i] / length : 0.0;
    return CQ_OK;
}

/* What every plan begins with: what the description says, and room for an R2 of each block. */
static void cq__plan_begin(cq_rotate_plan *plan, const cq_model *m, cq_arena *arena) {
    cq__fill(plan, 0, sizeof *plan);
    plan->use_float64 = true;
    plan->r1[0].name = cq__lit("r1");
    plan->r1[1].name = cq__lit("r1_text");
    for (size_t t = 0; t < (m->two_streams ? 2u : 1u); t++) cq__r1_obstacle(m, t != 0, &plan->r1[t]);
    plan->r2 = (cq_rotation *)cq_alloc(arena, m->block_count, sizeof(cq_rotation));
    plan->values = (cq_rotate_values *)cq_alloc(arena, m->block_count, sizeof(cq_rotate_values));
}
/* And ends with: scratch (`most` bytes), and the mirrors of streams whose norms take the mean away. */
static cq_status cq__plan_end(cq_rotate_plan *plan, const cq_context *ctx, const cq_model *m, size_t most,
                              cq_arena *arena, cq_error *err) {
    cq_status st = CQ_OK;
    for (size_t t = 0; t < 2; t++)
        if (plan->r1[t].on && plan->r1[t].mean)
            plan->r1[t].mirror = (double *)cq_alloc(arena, m->hidden, sizeof(double));
    plan->scratch = cq_alloc(arena, most, 1);
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for the rotations");
    for (size_t t = 0; !st && arena->base && t < 2; t++)
        if (plan->r1[t].mirror) st = cq__mirror(&plan->r1[t], ctx, m->hidden, plan->scratch, err);
    return st;
}

/* The first block whose R2 is that of block i, one a layer: one name, order and layer are one matrix. */
static size_t cq__values_first(const cq_rotate_plan *plan, size_t i) {
    const cq_rotate_values *v = &plan->values[i];
    for (size_t k = 0; k < i; k++)
        if (plan->r2[k].n == plan->r2[i].n && plan->values[k].per == v->per && plan->values[k].layer == v->layer &&
            cq__str_same(plan->values[k].name, v->name))
            return k;
    return i;
}

/* block 0: of the whole width */
static cq_status cq__plan_auto(cq_rotate_plan *plan, const cq_context *ctx, const cq_model *m, size_t block,
                               uint64_t seed, cq_arena *arena, cq_error *err) {
    static const uint64_t stream[2] = {0, (uint64_t)1 << 32};
    cq_rotation counted;
    size_t scratch, most = 0;
    cq_status st;
    cq__plan_begin(plan, m, arena);
    if (block && m->hidden % block)
        return cq_fail_at(err, CQ_ERR_RANGE, "the blocks of a rotation should divide the width of the stream", NULL, 0,
                          UINT64_MAX, (int64_t)m->hidden);
    for (size_t t = 0; t < (m->two_streams ? 2u : 1u); t++) {
        cq_rotate_stream *r1 = &plan->r1[t];
        r1->on = !r1->why;
        if (!r1->on) continue;
        st = cq__rotation_auto(&r1->r, block ? block : m->hidden, seed, stream[t], arena, err);
        if (st) return st;
        most = cq__larger(most, cq_rotation_scratch(ctx, &r1->r));
    }
    for (size_t i = 0; i < m->block_count; i++) {
        const cq_block *b = &m->blocks[i], *first = cq__r2_first(m, b, NULL);
        cq_rotation *r = arena->base ? (plan->r2 ? &plan->r2[i] : NULL) : &counted;
        if (!first) continue;
        plan->r2_count++;
        if (!r) break;
        st = cq__rotation_auto(r, block && b->v_dim % block == 0 ? block : b->v_dim, seed, 1 + first->layer, arena,
                               err);
        if (st) return st;
        scratch = cq_rotation_scratch(ctx, r);
        most = scratch > most ? scratch : most;
        if (plan->values) {
            plan->values[i].name = cq__lit("r2");
            plan->values[i].per = CQ_PER_LAYER;
            plan->values[i].layer = first->layer;
            plan->values[i].first = cq__values_first(plan, i);
        }
    }
    if (!plan->r1[0].on && !plan->r1[1].on && !plan->r2_count)
        return cq_fail_at(err, CQ_ERR_UNSUPPORTED, "this model has no exact rotation; in the way stands",
                          plan->r1[0].why, cq__strlen(plan->r1[0].why), UINT64_MAX, INT64_MIN);
    return cq__plan_end(plan, ctx, m, most, arena, err);
}
CQUANT_DEF cq_status cq_rotate_plan_auto(cq_rotate_plan *plan, const cq_context *ctx, const cq_model *m, uint64_t seed,
                                         cq_arena *arena, cq_error *err) {
    return cq__plan_auto(plan, ctx, m, 0, seed, arena, err);
}
CQUANT_DEF cq_status cq_rotate_plan_blocks(cq_rotate_plan *plan, const cq_context *ctx, const cq_model *m, size_t block,
                                           uint64_t seed, cq_arena *arena, cq_error *err) {
    if (block < 2) return cq_fail(err, CQ_ERR_ARG, "the blocks of a rotation should have at least 2 channels");
    return cq__plan_auto(plan, ctx, m, block, seed, arena, err);
}

static bool cq__hadamard_exists(size_t n) {
    cq_hadamard h;
    cq_arena dry = cq_arena_over(NULL, 0);
    return cq_hadamard_init(&h, n, &dry, NULL) == CQ_OK;
}
/* n -> plan->online_at of a block of the description; blocks of one order share a matrix */
static cq_status cq__plan_order(cq_rotate_plan *plan, const cq_model *m, size_t desc, size_t width, size_t wish,
                                cq_arena *arena, cq_error *err) {
    const cq_str *prefix = &m->arch.block[desc].prefix;
    size_t n = wish, i = 0, k = 1;
    cq_status st;
    if (wish == CQ_ONLINE_WIDEST) {
        for (n = width; n > 1 && (width % k || !cq__hadamard_exists(n)); n = width / k) k++;
        if (n < 2)
            return cq_fail_at(err, CQ_ERR_UNSUPPORTED, "no Hadamard matrix above order 1 divides the width that an "
                              "online rotation would turn", prefix->p, prefix->n, UINT64_MAX, (int64_t)width);
    } else if (width % n || !cq__hadamard_exists(n)) {
        return cq_fail_at(err, CQ_ERR_UNSUPPORTED,
                          width % n ? "the order of an online rotation should divide the width of what it turns"
                                    : "no Hadamard matrix of the order of this online rotation can be built",
                          prefix->p, prefix->n, UINT64_MAX, (int64_t)(width % n ? width : n));
    }
    while (i < plan->onlines && plan->online[i].n != n) i++;
    if (i == plan->onlines) {
        if ((st = cq_rotation_init(&plan->online[i], CQ_ROTATE_BASE_HADAMARD, n, 0, 0, arena, err)) != CQ_OK) return st;
        plan->onlines++;
    }
    plan->online_at[desc] = (uint8_t)(i + 1);
    return CQ_OK;
}

static size_t cq__gcd(size_t a, size_t b) {
    while (b) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

CQUANT_DEF cq_status cq_rotate_plan_online(cq_rotate_plan *plan, const cq_context *ctx, const cq_model *m, size_t r3,
                                           size_t r4, cq_arena *arena, cq_error *err) {
    size_t most = 0, head = 0, scratch;
    bool any[2] = {false, false};
    cq_status st;
    plan->onlines = 0;
    cq__fill(plan->online_at, 0, sizeof plan->online_at);
    for (size_t i = 0; i < m->block_count; i++) { /* blocks may read each other's keys: one R3 for all */
        if (m->blocks[i].online)
            return cq_fail(err, CQ_ERR_UNSUPPORTED, "this model has online rotations already, and its weights are made "
                           "for them; rotate the checkpoint instead");
        if (m->blocks[i].kind <= CQ_BLOCK_MLA) head = cq__gcd(head, m->blocks[i].head_dim);
    }
    for (size_t d = 0; d < m->arch.blocks; d++) {
        bool attention = m->arch.block[d].kind <= CQ_BLOCK_MLA;
        size_t width = 0;
        for (size_t i = 0; i < m->block_count; i++) {
            const cq_block *b = &m->blocks[i];
            if (b->desc != d || b->kind > CQ_BLOCK_MOE) continue;
            width = attention ? head : cq__gcd(width, cq__gcd(b->inter, b->s_inter));
        }
        if (!width || !(attention ? r3 : r4)) continue;
        if ((st = cq__plan_order(plan, m, d, width, attention ? r3 : r4, arena, err)) != CQ_OK) return st;
        any[attention] = true;
    }
    if ((r3 && !any[1]) || (r4 && !any[0]))
        return cq_fail(err, CQ_ERR_UNSUPPORTED, r3 && !any[1] ? "there is no attention whose keys R3 could turn"
                                                              : "there is no MLP whose activations R4 could turn");
    for (size_t i = 0; i < plan->onlines; i++) {
        scratch = cq_rotation_scratch(ctx, &plan->online[i]);
        most = cq__larger(most, scratch);
    }
    plan->online_scratch = cq_alloc(arena, most, 1);
    return arena->failed ? cq_fail(err, CQ_ERR_MEMORY, "arena too small for the rotations") : CQ_OK;
}

/* ---- the list of parts ---- */
static void cq__part_named(cq_part *part, const cq_named *stored, const char *name, size_t len) {
    part->stored = stored;
    part->name[0] = 0;
    part->name_len = cq__append(part->name, sizeof part->name, 0, name, len);
}
static void cq__part_vector(cq_part *part, cq_part_kind kind, const cq_named *stored, size_t n) {
    part->kind = kind;
    part->cols = n;
    cq__part_named(part, stored, stored->name, stored->name_len);
}
/* A linear, or (bias) its bias. */
static void cq__part_linear(const cq_model *m, const cq_block *b, const cq_linear *l, bool bias, cq_part *part) {
    part->linear = l;
    part->stored = bias ? l->stored_bias : l->stored;
    part->kind = bias ? CQ_PART_BIAS : CQ_PART_LINEAR;
    part->rows = bias ? 1 : l->w.rows;
    part->cols = bias ? l->w.rows : l->w.cols;
    part->matrix = !bias;
    part->format = bias ? CQ_F32 : l->w.format;
    part->swapped = !bias && l->w.layout == CQ_COLUMNS;
    if (part->stored && part->stored->t.rows * part->stored->t.cols > part->rows * part->cols) {
        part->slices = b->experts;
        part->slice = l->expert;
    }
    part->name[0] = 0;
    part->name_len = b ? cq_module_name(m, b, l, part->name, sizeof part->name)
                       : cq__append_path(part->name, sizeof part->name, 0, m, l->name, 0);
    part->name_len =
        cq__append(part->name, sizeof part->name, part->name_len, bias ? ".bias" : ".weight", bias ? 5 : 7);
}

/* Is this tensor of a norm a part of an earlier block of the layer? Blocks beside each other may have one norm. */
static bool cq__norm_listed(const cq_model *m, const cq_block *b, const cq_named *stored) {
    for (const cq_block *o = b; o-- > m->blocks && o->list == b->list && o->layer == b->layer;)
        for (size_t k = 0; k < CQ_NORM_COUNT; k++)
            if (o->norm[k].on && (o->norm[k].stored_gain == stored || o->norm[k].stored_bias == stored)) return true;
    return false;
}

/* Parts of a block in order: its norms and parameters, then each linear and its bias. A norm whose name has a # is one
   tensor for each head. */
static bool cq__block_part(const cq_model *m, const cq_block *b, cq_parts *cursor, cq_part *part) {
    for (;;) {
        size_t i = cursor->index++, n, count;
        part->block = b;
        if (i < 2 * CQ_NORM_COUNT) {
            const cq_norm *norm = &b->norm[i / 2];
            const cq_named *stored = i % 2 ? norm->stored_bias : norm->stored_gain;
            if (!norm->on || !stored || cq__norm_listed(m, b, stored)) continue;
            cq__norm_dims(m, b, i / 2, &n, &count);
            part->norm = norm;
            if (norm->each && cursor->head < count) {
                cq__block_path(m, b, true, norm->name, cursor->head++, false, part->name, sizeof part->name);
                (void)cq__append(part->name, sizeof part->name, cq__strlen(part->name), ".weight", 7);
                stored = cq_weights_find(&m->weights, part->name, cq__strlen(part->name));
                cursor->index--; /* the next head comes next */
                n = n / count;
            } else if (norm->each) {
                cursor->head = 0;
                continue;
            }
            cq__part_vector(part, i % 2 ? CQ_PART_NORM_BIAS : CQ_PART_NORM, stored, n);
            return true;
        }
        i -= 2 * CQ_NORM_COUNT;
        if (i < CQ_PARAM_COUNT) {
            if (!b->param[i].stored) continue;
            cq__param_dims(b, i, &n, &count);
            part->param = &b->param[i];
            n = cq__larger(n * count, b->param[i].stored->t.rows * b->param[i].stored->t.cols); /* its first count */
            cq__part_vector(part, CQ_PART_PARAM, b->param[i].stored, n);
            return true;
        }
        i -= CQ_PARAM_COUNT;
        if (i / 2 >= b->linears) return false;
        if (i % 2 && !b->lin[i / 2].bias) continue;
        cq__part_linear(m, b, &b->lin[i / 2], i % 2 != 0, part);
        return true;
    }
}

/* what stands before the blocks and after them, in the order of the parts */
typedef enum cq__end {
    CQ__END_EMBED, CQ__END_EMBED_IN, CQ__END_INPUT, CQ__END_BOX, CQ__END_CODEBOOK, CQ__END_POSITION, CQ__END_EMBED_NORM,
    CQ__END_SIDE, CQ__END_SIDE_IN, CQ__END_SIDE_NORM, CQ__END_BLOCKS, CQ__END_NORM, CQ__END_HEAD_DENSE,
    CQ__END_HEAD_NORM, CQ__END_HEAD_OUT, CQ__END_HEAD, CQ__END_CARRIED
} cq__end;
static void cq__part_table(cq_part *part, cq_part_kind kind, const cq_tensor *t, const cq_named *stored) {
    part->kind = kind;
    part->rows = t->rows;
    part->cols = t->cols;
    part->matrix = true;
    part->format = t->format;
    cq__part_named(part, stored, stored->name, stored->name_len);
}

CQUANT_DEF bool cq_model_part(const cq_model *m, const cq_rotate_plan *plan, cq_parts *cursor, cq_part *part) {
    const cq_linear *linears[CQ__END_CARRIED + 1] = {0};
    linears[CQ__END_EMBED_IN] = &m->embed_in;
    linears[CQ__END_INPUT] = &m->input[0];
    linears[CQ__END_BOX] = &m->input[1];
    linears[CQ__END_CODEBOOK] = &m->codebook;
    linears[CQ__END_SIDE_IN] = &m->side_in;
    linears[CQ__END_HEAD_DENSE] = &m->head_dense;
    linears[CQ__END_HEAD_OUT] = &m->head_out;
    linears[CQ__END_HEAD] = &m->head;
    for (;; cursor->stage++, cursor->block = cursor->index = 0) {
        cq__fill(part, 0, sizeof *part - sizeof part->name - sizeof part->name_len);
        part->rows = part->slices = 1;
        part->format = CQ_F32;
        if (cursor->stage == CQ__END_BLOCKS) {
            for (; cursor->block < m->block_count; cursor->block++, cursor->index = 0)
                if (cq__block_part(m, &m->blocks[cursor->block], cursor, part)) return true;
            continue;
        }
        if (cursor->stage == CQ__END_CARRIED) {
            for (; cursor->index < m->weights.count; cursor->index++) {
                const cq_named *n = &m->weights.list[cursor->index];
                cq__carry carry = m->used[cursor->index] ? CQ__NOT_CARRIED : cq__carried(m, n);
                if (!carry) continue;
                cursor->index++;
                part->kind = CQ_PART_CARRIED;
                cq__part_named(part, n, n->name, n->name_len);
                if (!cq__r1(plan, NULL) || carry < CQ__CARRY_WRITES) return true;
                part->kind = CQ_PART_ENTERS;
                part->matrix = n->ndim > 1;
                part->format = part->matrix ? n->t.format : CQ_F32;
                part->rows = carry == CQ__CARRY_WRITES ? m->hidden : n->t.rows;
                part->cols = n->t.rows * n->t.cols / part->rows;
                if (!part->matrix) { /* a bias, or a vector: one row */
                    part->rows = 1;
                    part->cols = m->hidden;
                }
                return true;
            }
            return false;
        }
        while (cursor->index < 2) { /* a matrix or gain, and its bias */
            bool bias = cursor->index++ != 0;
            const cq_linear *l = linears[cursor->stage];
            const cq_norm *norm = cursor->stage == CQ__END_EMBED_NORM ? &m->embed_norm
                                  : cursor->stage == CQ__END_NORM       ? &m->norm
                                  : cursor->stage == CQ__END_SIDE_NORM  ? &m->side_norm
                                  : cursor->stage == CQ__END_HEAD_NORM  ? &m->head_norm
                                                                        : NULL;
            if (norm && (bias ? norm->stored_bias : norm->stored_gain)) {
                part->norm = norm;
                cq__part_vector(part, bias ? CQ_PART_NORM_BIAS : CQ_PART_NORM,
                                bias ? norm->stored_bias : norm->stored_gain,
                                norm == &m->side_norm ? m->side_width : m->hidden);
                return true;
            }
            if (cursor->stage == CQ__END_EMBED && !bias) {
                cq__part_table(part, CQ_PART_EMBED, &m->embed, m->embed_stored);
                return true;
            }
            if (cursor->stage == CQ__END_POSITION && !bias && m->position.rows) {
                cq__part_table(part, CQ_PART_POSITION, &m->position, m->position_stored);
                return true;
            }
            if (cursor->stage == CQ__END_SIDE && !bias && m->side.rows) {
                cq__part_table(part, CQ_PART_SIDE, &m->side, m->side_stored);
                return true;
            }
            if (!l || !l->w.rows || (bias && !l->bias)) continue;
            if (l == &m->head && !bias && m->tied && !cq_rotate_unties(plan, m)) continue;
            cq__part_linear(m, NULL, l, bias, part);
            if (l == &m->head && !bias) part->kind = CQ_PART_HEAD;
            return true;
        }
    }
}

/* ---- reading a part ----
   One text of steps for float and double: the numbers are in one of two arrays, and the other is NULL. What is known in
   double (gains, the mirror) is used in double in both; in float every step rounds. */
typedef struct cq__nums {
    float *f;
    double *d;
} cq__nums;
#define CQ__NUMS_TILE 64u /* doubles on the stack */
static cq__nums cq__nums_of(float *f, double *d) {
    cq__nums x;
    x.f = f;
    x.d = d;
    return x;
}
static cq__nums cq__nums_from(cq__nums x, size_t i) { return cq__nums_of(x.f ? x.f + i : NULL, x.d ? x.d + i : NULL); }
static double cq__num(cq__nums x, size_t i) { return x.d ? x.d[i] : (double)x.f[i]; }
static void cq__num_set(cq__nums x, size_t i, double v) {
    if (x.d) x.d[i] = v;
    else x.f[i] = (float)v;
}
/* n numbers of a row of t, from column c */
static void cq__nums_read(const cq_tensor *t, size_t row, size_t c, size_t n, cq__nums out) {
    float piece[CQ__NUMS_TILE];
    if (out.f) {
        cq_tensor_span(t, row, c, n, out.f);
        return;
    }
    for (size_t i = 0; i < n; i += CQ__NUMS_TILE) {
        size_t w = cq__min(CQ__NUMS_TILE, n - i);
        cq_tensor_span(t, row, c + i, w, piece);
        for (size_t k = 0; k < w; k++) out.d[i + k] = (double)piece[k];
    }
}
/* Rows of a tensor read, or folded, CQ__NUMS_ROWS a task. */
#define CQ__NUMS_ROWS 64u
typedef struct cq__nums_job {
    const cq_tensor *t;
    const cq_norm *norm;
    size_t first, rows, cols;
    cq__nums x;
} cq__nums_job;
static void cq__read_task(void *arg, size_t task) {
    const cq__nums_job *j = (const cq__nums_job *)arg;
    size_t end = cq__min(j->rows, (task + 1) * CQ__NUMS_ROWS);
    for (size_t r = task * CQ__NUMS_ROWS; r < end; r++)
        cq__nums_read(j->t, j->first + r, 0, j->cols, cq__nums_from(j->x, r * j->cols));
}
static void cq__fold_task(void *arg, size_t task) {
    const cq__nums_job *j = (const cq__nums_job *)arg;
    size_t begin = task * CQ__NUMS_ROWS, end = cq__min(j->rows, begin + CQ__NUMS_ROWS), cols = j->cols;
    double gain[CQ__NUMS_TILE];
    for (size_t c = 0; c < cols; c += CQ__NUMS_TILE) {
        size_t n = cq__min(CQ__NUMS_TILE, cols - c);
        for (size_t k = 0; k < n; k++) gain[k] = cq__gain_at(j->norm, c + k, j->x.d != NULL);
        for (size_t r = begin; r < end; r++)
            for (size_t k = 0; k < n; k++)
                cq__num_set(j->x, r * cols + c + k, cq__num(j->x, r * cols + c + k) * gain[k]);
    }
}
/* x (rows, cols) <- rows of t from the first on; or, with norm, x diag(gain) */
static void cq__nums_rows(const cq_context *ctx, const cq_tensor *t, const cq_norm *norm, size_t first, cq__nums x,
                          size_t rows, size_t cols) {
    cq__nums_job j;
    size_t tasks = (rows + CQ__NUMS_ROWS - 1) / CQ__NUMS_ROWS;
    j.t = t;
    j.norm = norm;
    j.first = first;
    j.rows = rows;
    j.cols = cols;
    j.x = x;
    if (ctx) cq_parallel_for(ctx, tasks, norm ? cq__fold_task : cq__read_task, &j);
    for (size_t i = 0; !ctx && i < tasks; i++) (norm ? cq__fold_task : cq__read_task)(&j, i);
}

static cq_status cq__rotate_rows(const cq_context *ctx, const cq_rotation *r, cq__nums x, size_t rows, size_t cols,
                                 void *scratch) {
    return x.d ? cq_rotate_rows_f64(ctx, r, x.d, rows, cols, cols, scratch)
               : cq_rotate_rows_f32(ctx, r, x.f, rows, cols, cols, scratch);
}
static cq_status cq__rotate_cols(const cq_context *ctx, const cq_rotation *r, cq__nums w, size_t rows, size_t cols,
                                 void *scratch) {
    return w.d ? cq_rotate_cols_f64(ctx, r, w.d, rows, cols, cols, scratch)
               : cq_rotate_cols_f32(ctx, r, w.f, rows, cols, cols, scratch);
}
/* x (rows, hidden) R1, from the right: readers, and rows that are vectors of the stream */
static cq_status cq__turn_rows(const cq_context *ctx, const cq_rotate_stream *r1, cq__nums x, size_t rows, size_t cols,
                               void *scratch) {
    cq_status st = cq__rotate_rows(ctx, &r1->r, x, rows, cols, scratch);
    for (size_t r = 0; !st && r1->mirror && r < rows; r++) {
        cq__nums row = cq__nums_from(x, r * cols);
        double dot = 0.0;
        for (size_t k = 0; k < cols; k++) dot = dot + r1->mirror[k] * cq__num(row, k);
        for (size_t k = 0; k < cols; k++) cq__num_set(row, k, cq__num(row, k) - 2.0 * dot * r1->mirror[k]);
    }
    return st;
}
/* R1^T w (hidden, cols), from the left: writers */
static cq_status cq__turn_cols(const cq_context *ctx, const cq_rotate_stream *r1, cq__nums w, size_t rows, size_t cols,
                               void *scratch) {
    cq_status st = cq__rotate_cols(ctx, &r1->r, w, rows, cols, scratch);
    double dot[CQ__NUMS_TILE];
    for (size_t c = 0; !st && r1->mirror && c < cols; c += CQ__NUMS_TILE) {
        size_t n = cq__min(CQ__NUMS_TILE, cols - c);
        for (size_t k = 0; k < n; k++) dot[k] = 0.0;
        for (size_t r = 0; r < rows; r++)
            for (size_t k = 0; k < n; k++) dot[k] = dot[k] + r1->mirror[r] * cq__num(w, r * cols + c + k);
        for (size_t r = 0; r < rows; r++)
            for (size_t k = 0; k < n; k++) {
                size_t i = r * cols + c + k;
                cq__num_set(w, i, cq__num(w, i) - 2.0 * dot[k] * r1->mirror[r]);
            }
    }
    return st;
}
/* R2^T on the rows (w (rows, cols), or a bias with cols = 1) that hold the values of each head of linear `role` */
static cq_status cq__turn_values(const cq_context *ctx, const cq_rotate_plan *plan, const cq_model *m,
                                 const cq_block *b, cq_role role, cq__nums w, size_t cols) {
    const cq_rotation *r2 = &plan->r2[b - m->blocks];
    for (size_t h = 0; h < b->kv_heads; h++) {
        size_t at = h * (b->nope + b->v_dim) + b->nope;
        cq_status st;
        if (b->kind != CQ_BLOCK_MLA && cq__head_at(b, CQ__VALUE, h, &at) != role) continue;
        st = cq__rotate_cols(ctx, r2, cq__nums_from(w, at * cols), b->v_dim, cols, plan->scratch);
        if (st) return st;
    }
    return CQ_OK;
}

/* What turns at the input (0) and the output (1) of a linear, if its stream or the values of its block turn. */
typedef enum cq__side { CQ__SIDE_STILL, CQ__SIDE_STREAM, CQ__SIDE_VALUES } cq__side;
static void cq__linear_sides(const cq_model *m, const cq_block *b, const cq_linear *l, cq__side side[2]) {
    const cq__role_row *row = &cq__roles[l->role];
    bool stream; /* else of the latent width */
    side[0] = side[1] = CQ__SIDE_STILL;
    if (!b) {
        if (l == &m->side_in || l == cq__last_reader(m)) side[0] = CQ__SIDE_STREAM;
        else if (l == &m->embed_in || l == &m->codebook || l == &m->input[0] || l == &m->input[1])
            side[1] = CQ__SIDE_STREAM;
        return;
    }
    stream = !(b->at[CQ_ROLE_EXPERT_IN] && cq__is_expert(l->role));
    side[0] = row->stream_in && stream ? CQ__SIDE_STREAM : row->values_in ? CQ__SIDE_VALUES : CQ__SIDE_STILL;
    side[1] = row->stream_out && stream ? CQ__SIDE_STREAM : row->values_out ? CQ__SIDE_VALUES : CQ__SIDE_STILL;
    for (size_t i = 0; i < 2; i++)
        if (side[i] == CQ__SIDE_VALUES && b->kind > CQ_BLOCK_MLA) side[i] = CQ__SIDE_STILL;
}
/* R1 of the stream that a linear (NULL: a table) reads or writes; NULL: it is not rotated */
static const cq_rotate_stream *cq__linear_r1(const cq_model *m, const cq_rotate_plan *plan, const cq_block *b,
                                             const cq_linear *l) {
    if (l && (l == &m->input[0] || l == &m->input[1])) return plan && plan->r1[1].on ? &plan->r1[1] : NULL;
    return cq__r1(plan, b);
}
/* The norm through which a linear reads the stream; NULL: none */
static const cq_norm *cq__norm_read(const cq_model *m, const cq_block *b, const cq_linear *l) {
    if (!b) return l == cq__last_reader(m) ? &m->norm : NULL;
    return &b->norm[l->role == CQ_ROLE_ROUTER && b->norm[CQ_NORM_ROUTER].on ? CQ_NORM_ROUTER : CQ_NORM_PRE];
}
/* The stream that a linear reads, the norm whose gain it takes in (NULL: none), and the stream that it writes; NULL: it
   does not, or that is not rotated. */
typedef struct cq__sides {
    const cq_rotate_stream *reads, *writes;
    const cq_norm *norm;
} cq__sides;
static cq__sides cq__sides_of(const cq_model *m, const cq_rotate_plan *plan, const cq_block *b, const cq_linear *l) {
    const cq_rotate_stream *r1 = cq__linear_r1(m, plan, b, l);
    cq__side side[2];
    cq__sides s;
    cq__linear_sides(m, b, l, side);
    s.reads = side[0] == CQ__SIDE_STREAM ? r1 : NULL;
    s.writes = side[1] == CQ__SIDE_STREAM ? r1 : NULL;
    s.norm = s.reads ? cq__norm_read(m, b, l) : NULL;
    if (s.norm && !cq__uneven(s.norm, m->hidden)) s.norm = NULL;
    return s;
}

/* rows of a linear, or (bias) its whole bias as a column */
static cq_status cq__turn_linear(const cq_context *ctx, const cq_model *m, const cq_rotate_plan *plan,
                                 const cq_part *part, size_t rows, cq__nums out) {
    const cq_block *b = part->block;
    const cq__role_row *role = &cq__roles[part->linear->role];
    cq__sides s = cq__sides_of(m, plan, b, part->linear);
    bool bias = part->kind == CQ_PART_BIAS;
    size_t cols = bias ? 1 : part->cols;
    cq_status st = CQ_OK;
    if (bias) rows = part->cols;
    if (!bias && s.reads) {
        if (s.norm) cq__nums_rows(ctx, NULL, s.norm, 0, out, rows, cols);
        st = cq__turn_rows(ctx, s.reads, out, rows, cols, plan->scratch);
    }
    if (!st && !bias && b && b->kind > CQ_BLOCK_MLA && cq__online(plan, b) &&
        cq__role_group(b->kind, part->linear->role) == 1) /* down, of experts too */
        st = cq__rotate_rows(ctx, cq__online(plan, b), out, rows, cols, plan->online_scratch);
    if (!st && !bias && cq__r2(plan, m, b) && role->values_in)
        st = cq__rotate_rows(ctx, &plan->r2[b - m->blocks], out, rows, cols, plan->scratch);
    if (!st && cq__r2(plan, m, b) && role->values_out)
        st = cq__turn_values(ctx, plan, m, b, part->linear->role, out, cols);
    if (!st && s.writes) st = cq__turn_cols(ctx, s.writes, out, rows, cols, plan->scratch);
    return st;
}

/* R1 of the stream that this norm reads or writes; NULL: none, or it is not rotated. *folded: its gain becomes 1. */
static const cq_rotate_stream *cq__norm_r1(const cq_model *m, const cq_rotate_plan *plan, const cq_block *b,
                                           const cq_norm *norm, bool *folded) {
    const cq_rotate_stream *r1 = cq__r1(plan, b);
    bool reads = b ? norm == &b->norm[CQ_NORM_PRE] : norm == &m->norm, stream = reads;
    if (b && b->kind == CQ_BLOCK_MOE && norm == &b->norm[CQ_NORM_ROUTER]) reads = stream = true;
    if (b ? norm < &b->norm[CQ_NORM_Q] : norm == &m->embed_norm) stream = true;
    *folded = r1 && reads && cq__uneven(norm, m->hidden);
    return stream ? r1 : NULL;
}
/* the bias of a norm of the stream as it stands beside its folded gain, turned */
static cq_status cq__turn_norm_bias(const cq_context *ctx, const cq_rotate_plan *plan, const cq_rotate_stream *r1,
                                    const cq_norm *norm, bool folded, cq__nums out, size_t n) {
    for (size_t i = 0; i < n; i++) cq__num_set(out, i, cq__bias_at(norm, i, folded, out.d != NULL, NULL));
    return r1 ? cq__turn_rows(ctx, r1, out, 1, n, plan->scratch) : CQ_OK;
}

static cq_status cq__part_read(const cq_context *ctx, const cq_model *m, const cq_rotate_plan *plan,
                               const cq_part *part, size_t row, size_t n, cq__nums out, cq_error *err) {
    bool pieces = part->kind == CQ_PART_EMBED || part->kind == CQ_PART_HEAD || part->kind == CQ_PART_POSITION ||
                  part->kind == CQ_PART_SIDE || (part->kind == CQ_PART_LINEAR && !plan), folded;
    const cq_tensor *w = part->kind == CQ_PART_EMBED      ? &m->embed
                         : part->kind == CQ_PART_POSITION ? &m->position
                         : part->kind == CQ_PART_SIDE     ? &m->side
                         : part->kind == CQ_PART_HEAD     ? &m->head.w
                         : part->kind == CQ_PART_LINEAR   ? &part->linear->w
                                                          : NULL;
    const cq_rotate_stream *r1 = cq__r1(plan, NULL);
    cq_status st = CQ_OK;
    if (row > part->rows || n > part->rows - row || ((row || n != part->rows) && !pieces) ||
        part->kind == CQ_PART_CARRIED)
        return cq_fail_at(err, CQ_ERR_ARG, "this part can only be read whole", part->name, part->name_len, row,
                          (int64_t)n);
    if (w) cq__nums_rows(ctx, w, NULL, row, out, n, part->cols);
    switch (part->kind) {
    case CQ_PART_EMBED:
        if (m->embed_in.w.rows) break; /* not in the stream yet */
        /* fall through */
    case CQ_PART_POSITION:
        if (r1) st = cq__turn_rows(ctx, r1, out, n, part->cols, plan->scratch);
        break;
    case CQ_PART_BIAS:
        for (size_t i = 0; i < part->cols; i++) cq__num_set(out, i, (double)cq__f32(part->linear->bias + 4 * i));
        /* fall through */
    case CQ_PART_HEAD:
    case CQ_PART_LINEAR: st = cq__turn_linear(ctx, m, plan, part, n, out); break;
    case CQ_PART_NORM: /* as stored: w of 1 + w */
        (void)cq__norm_r1(m, plan, part->block, part->norm, &folded);
        for (size_t i = 0; i < part->cols; i++) {
            const cq_tensor *t = &part->stored->t;
            cq__nums_read(t, i / t->cols, i % t->cols, 1, cq__nums_from(out, i));
            if (folded) cq__num_set(out, i, part->norm->plus_one ? 0.0 : 1.0);
        }
        break;
    case CQ_PART_NORM_BIAS:
        r1 = cq__norm_r1(m, plan, part->block, part->norm, &folded);
        st = cq__turn_norm_bias(ctx, plan, r1, part->norm, folded, out, part->cols);
        break;
    case CQ_PART_ENTERS: {
        const cq_tensor *t = &part->stored->t; /* perhaps in another shape: a convolution */
        bool rows = !part->matrix || cq__carried(m, part->stored) == CQ__CARRY_ROWS;
        for (size_t r = 0; r < t->rows; r++) cq__nums_read(t, r, 0, t->cols, cq__nums_from(out, r * t->cols));
        st = rows ? cq__turn_rows(ctx, r1, out, part->rows, part->cols, plan->scratch)
                  : cq__turn_cols(ctx, r1, out, part->rows, part->cols, plan->scratch);
        break;
    }
    case CQ_PART_PARAM:
        for (size_t i = 0; i < part->cols; i++) cq__num_set(out, i, (double)cq__f32(part->param->data + 4 * i));
        break;
    case CQ_PART_SIDE:
    case CQ_PART_CARRIED: break;
    }
    if (!st) return CQ_OK;
    return cq_fail_at(err, st, "a rotation does not fit this part", part->name, part->name_len, UINT64_MAX, INT64_MIN);
}
CQUANT_DEF cq_status cq_part_read(const cq_context *ctx, const cq_model *m, const cq_rotate_plan *plan,
                                  const cq_part *part, size_t row, size_t n, float *out, cq_error *err) {
    return cq__part_read(ctx, m, plan, part, row, n, cq__nums_of(out, NULL), err);
}
CQUANT_DEF cq_status cq_part_read_f64(const cq_context *ctx, const cq_model *m, const cq_rotate_plan *plan,
                                      const cq_part *part, size_t row, size_t n, double *out, cq_error *err) {
    return cq__part_read(ctx, m, plan, part, row, n, cq__nums_of(NULL, out), err);
}

/* ===================================================================================================================
   [LESSON 8 rotating a model]  a configuration

   mtq.rotate of NVIDIA's ModelOpt takes a configuration instead of a description:

       rotation_matrices   NAME: {dim: a number or a key of config.json, mode: hadamard | base_hadamard | orthogonal,
                           per_layer: false: one matrix | true: one a layer | PATTERN: one a module that matches, the
                           nearest around the one that turns}
       rotation_config     PATTERN|PATTERN...: [input, output], each the name of a matrix or null; or null. Patterns
                           are of whole names of modules
       norm_fuse_config    decoder_layer_fuse: [[norm, [readers]], ...] in a layer; lm_head_fuse: [[norm, head], ...]
       use_float64         true unless it says otherwise
       optional_entries    true: what matches nothing is only told, as a configuration of many models needs it (not in
                           mtq.rotate)

   There it is an instruction: each entry is multiplied in, right or not, and what no pattern matches stays. Here it is
   an intention that the description completes. The stream turns if any entry asks for it, and then at all that reads
   and writes it; the values of a block likewise, at both ends. So each module has at each side one of three things that
   it may be asked to turn by, the matrix of its stream, that of its values, or none, and what is asked is compared with
   that. An axis longer than the matrix has it repeated, as there. Norms are folded if the stream turns or if the
   configuration folds any: then without a rotation, R1 has order 1.

   Matrices have the numbers of `auto`: the stream's 0, that of a layer's values 1 + layer. Two that are shared by all
   layers have 0, where it is the stream's, and 1.
   ================================================================================================================== */
static const char *const cq__rotate_builtins[][2] = {
    {"transformer_universal",
     "{\"rotation_matrices\": {\"r1\": {\"dim\": \"hidden_size\", \"mode\": \"hadamard\", \"per_layer\": false},\n"
     "                         \"r2\": {\"dim\": \"head_dim\", \"mode\": \"hadamard\", \"per_layer\": true}},\n"
     " \"rotation_config\": {\"*embed_tokens\": [\"r1\", null], \"*lm_head\": [\"r1\", null],\n"
     "     \"*q_proj|*k_proj\": [\"r1\", null], \"*v_proj\": [\"r1\", \"r2\"], \"*o_proj\": [\"r2\", \"r1\"],\n"
     "     \"*up_proj|*gate_proj|*w1|*w3\": [\"r1\", null], \"*down_proj|*w2\": [null, \"r1\"],\n"
     "     \"*in_proj\": [\"r1\", null], \"*out_proj\": [null, \"r1\"]},\n"
     " \"norm_fuse_config\": {\n"
     "     \"decoder_layer_fuse\": [\n"
     "         [\"input_layernorm\", [\"self_attn.q_proj\", \"self_attn.k_proj\", \"self_attn.v_proj\"]],\n"
     "         [\"post_attention_layernorm\", [\"mlp.up_proj\", \"mlp.gate_proj\"]]],\n"
     "     \"lm_head_fuse\": [[\"model.norm\", \"lm_head\"]]},\n"
     " \"optional_entries\": true}\n"},
    {"nemotron_h",
     "{\"rotation_matrices\": {\"r1\": {\"dim\": \"hidden_size\", \"mode\": \"hadamard\", \"per_layer\": false},\n"
     "                         \"r2\": {\"dim\": \"head_dim\", \"mode\": \"base_hadamard\", \"per_layer\": true}},\n"
     " \"rotation_config\": {\"*embeddings\": [\"r1\", null], \"*lm_head\": [\"r1\", null],\n"
     "     \"*q_proj|*k_proj\": [\"r1\", null], \"*v_proj\": [\"r1\", \"r2\"], \"*o_proj\": [\"r2\", \"r1\"],\n"
     "     \"*up_proj|*gate_proj|*w1|*w3\": [\"r1\", null], \"*down_proj|*w2\": [null, \"r1\"],\n"
     "     \"*in_proj\": [\"r1\", null], \"*out_proj\": [null, \"r1\"]},\n"
     " \"norm_fuse_config\": {\n"
     "     \"decoder_layer_fuse\": [[\"norm\", [\"mixer.in_proj\"]], [\"norm\", [\"mixer.up_proj\"]],\n"
     "         [\"norm\", [\"mixer.q_proj\", \"mixer.k_proj\", \"mixer.v_proj\"]]],\n"
     "     \"lm_head_fuse\": [[\"backbone.norm_f\", \"lm_head\"]]},\n"
     " \"use_float64\": true, \"optional_entries\": true}\n"},
};
CQUANT_DEF const char *cq_rotate_builtin(size_t index, const char **text) {
    if (index >= sizeof cq__rotate_builtins / sizeof cq__rotate_builtins[0]) return NULL;
    if (text) *text = cq__rotate_builtins[index][1];
    return cq__rotate_builtins[index][0];
}

/* ---- modules and what turns at their sides ---- */
static cq_str cq__side_name(const cq_rotate_plan *plan, const cq_model *m, const cq_part *part, cq__side side) {
    const cq_block *b = part->block;
    const cq_rotate_stream *r1 = cq__linear_r1(m, plan, b, part->linear);
    if (side == CQ__SIDE_STREAM && r1 && r1->r.n > 1) return r1->name;
    if (side == CQ__SIDE_VALUES && cq__r2(plan, m, b)) return plan->values[b - m->blocks].name;
    return cq__str(NULL, 0);
}
CQUANT_DEF void cq_part_rotation(const cq_rotate_plan *plan, const cq_model *m, const cq_part *part, cq_str *input,
                                 cq_str *output) {
    cq__side side[2] = {CQ__SIDE_STILL, CQ__SIDE_STILL};
    if (part->kind == CQ_PART_LINEAR || part->kind == CQ_PART_HEAD)
        cq__linear_sides(m, part->block, part->linear, side);
    if (part->kind == CQ_PART_POSITION || (part->kind == CQ_PART_EMBED && !m->embed_in.w.rows))
        side[0] = CQ__SIDE_STREAM;
    *input = cq__side_name(plan, m, part, side[0]);
    *output = cq__side_name(plan, m, part, side[1]);
}

typedef struct cq__module { /* what a pattern may match */
    const cq_block *block;   /* NULL: at the ends */
    const cq_linear *linear; /* NULL: a table */
    cq__side side[2];
    char name[256];
    size_t len, bare; /* of the name; without the number of an expert that has no tensor of its own */
} cq__module;
/* Modules in an order in which those of one role in one description come one after the other. */
typedef struct cq__modules {
    size_t stage, desc, role, block, expert;
    bool first; /* the last one given is the first of its role */
} cq__modules;
static const cq__modules cq__all_modules = {0, 0, 0, 0, 0, false};
#define CQ__MODULE_ENDS 7u /* linears at the ends, but the head */

static void cq__module_table(cq__module *out, const cq_named *stored) {
    size_t n = stored->name_len;
    if (n > 7 && cq__equal(stored->name + n - 7, ".weight", 7)) n -= 7;
    out->len = out->bare = cq__append(out->name, sizeof out->name, 0, stored->name, n);
}
static bool cq__next_module(const cq_model *m, cq__modules *c, cq__module *out) {
    const cq_linear *const ends[CQ__MODULE_ENDS] = {&m->embed_in, &m->input[0],   &m->input[1], &m->codebook,
                                                    &m->side_in,  &m->head_dense, &m->head_out};
    out->block = NULL;
    out->linear = NULL;
    out->name[0] = 0;
    out->side[0] = out->side[1] = CQ__SIDE_STILL;
    c->first = true;
    while (c->stage < CQ__MODULE_ENDS + 2) {
        size_t stage = c->stage++;
        if (stage < 2) {
            const cq_named *stored = stage ? (m->position.rows ? m->position_stored : NULL) : m->embed_stored;
            if (!stored) continue;
            cq__module_table(out, stored);
            if (stage || !m->embed_in.w.rows) out->side[0] = CQ__SIDE_STREAM;
        } else {
            if (!ends[stage - 2]->w.rows) continue;
            out->linear = ends[stage - 2];
            cq__linear_sides(m, NULL, out->linear, out->side);
            out->len = out->bare = cq__append_path(out->name, sizeof out->name, 0, m, out->linear->name, 0);
        }
        return true;
    }
    for (; c->desc < m->arch.blocks; c->desc++, c->role = 0)
        for (; c->role < CQ_ROLE_COUNT; c->role++, c->block = 0)
            for (; c->block < m->block_count; c->block++, c->expert = 0) {
                const cq_block *b = &m->blocks[c->block];
                size_t i = c->expert + b->at[c->role] - 1u;
                if (b->desc != c->desc || !b->at[c->role] || i >= b->linears || b->lin[i].role != (cq_role)c->role)
                    continue;
                out->block = b;
                out->linear = &b->lin[i];
                cq__linear_sides(m, b, out->linear, out->side);
                out->bare = cq__block_path(m, b, true, out->linear->name, out->linear->expert, false, out->name,
                                           sizeof out->name);
                out->len = cq_module_name(m, b, out->linear, out->name, sizeof out->name);
                c->first = !c->expert++;
                for (size_t k = 0; k < c->block && c->first; k++)
                    c->first = m->blocks[k].desc != c->desc || !m->blocks[k].at[c->role];
                return true;
            }
    if (c->stage++ > CQ__MODULE_ENDS + 2) return false;
    out->linear = &m->head;
    cq__linear_sides(m, NULL, out->linear, out->side);
    out->len = out->bare = cq_head_name(m, out->name, sizeof out->name);
    return true;
}
/* The name with * for the numbers of layer and expert. */
static size_t cq__star_name(const cq_model *m, const cq__module *x, char *out, size_t size) {
    cq_str list, prefix;
    size_t at = 0, hash = 0;
    bool numbered = false;
    out[0] = 0;
    if (!x->block) return cq__append(out, size, 0, x->name, x->len);
    list = m->arch.list[x->block->list].name;
    prefix = m->arch.block[x->block->desc].prefix;
    while (hash < list.n && list.p[hash] != '#') hash++;
    at = cq__append_path(out, size, 0, m, cq__str(list.p, hash), 0);
    if (hash < list.n) {
        at = cq__append(out, size, at, "*", 1);
        at = cq__append(out, size, at, list.p + hash + 1, list.n - hash - 1);
    }
    if (!cq__str_eq(prefix, "-")) {
        at = cq__append(out, size, at, ".", 1);
        at = cq__append(out, size, at, prefix.p, prefix.n);
    }
    at = cq__append(out, size, at, ".", 1);
    for (size_t i = 0; i < x->linear->name.n; i++) {
        numbered = numbered || x->linear->name.p[i] == '#';
        at = cq__append(out, size, at, x->linear->name.p[i] == '#' ? "*" : x->linear->name.p + i, 1);
    }
    return !numbered && cq__is_expert(x->linear->role) ? cq__append(out, size, at, ".*", 2) : at;
}
/* The name in its layer: "self_attn.q_proj"; at the ends the whole. */
static cq_str cq__name_in_layer(const cq_model *m, const cq_block *b, const char *name, size_t len) {
    char front[256];
    size_t n;
    if (!b) return cq__str(name, len);
    front[0] = 0;
    n = cq__append_path(front, sizeof front, 0, m, m->arch.list[b->list].name, b->layer);
    return n + 1 < len && cq__equal(front, name, n) ? cq__str(name + n + 1, len - n - 1) : cq__str(name, len);
}
static cq_str cq__norm_in_layer(const cq_model *m, const cq_block *b, const cq_norm *norm) {
    const cq_named *stored = norm->stored_gain ? norm->stored_gain : norm->stored_bias;
    cq_str name = cq__str(NULL, 0);
    if (!norm->on || !stored) return name;
    name = cq__name_in_layer(m, b, stored->name, stored->name_len);
    if (name.n > 7 && cq__equal(name.p + name.n - 7, ".weight", 7)) name.n -= 7;
    return name;
}
/* What stands between a side that is still and everything that turns. */
static const char *cq__why_still(const cq__module *x, size_t side) {
    if (!x->block)
        return !x->linear || x->side[0] || x->side[1]
                   ? "the other side is ids, positions or what comes from outside, which do not turn"
                   : "what stands there is not the stream";
    switch (x->linear->role) {
    case CQ_ROLE_Q:
    case CQ_ROLE_K:
    case CQ_ROLE_QK: return "what stands between q and k and their scores (rope, norms) acts on single channels";
    case CQ_ROLE_OUT_GATE: return "its output gates single values of the heads";
    case CQ_ROLE_Q_A:
    case CQ_ROLE_KV_A:
    case CQ_ROLE_Q_B:
    case CQ_ROLE_KV_B:
        return side ? "its output goes through a norm with a gain, or rope: both act on single channels"
                    : "its input is the latent of q or of k and v behind its norm, not the stream";
    case CQ_ROLE_ROUTER:
    case CQ_ROLE_SHARED_MIX:
    case CQ_ROLE_MIX2: return "its outputs are weights of experts";
    case CQ_ROLE_IN:
    case CQ_ROLE_X:
    case CQ_ROLE_DT:
    case CQ_ROLE_OUT:
    case CQ_ROLE_QKVZ:
    case CQ_ROLE_BA:
    case CQ_ROLE_Z:
    case CQ_ROLE_B:
    case CQ_ROLE_A:
    case CQ_ROLE_MID:
    case CQ_ROLE_MID2: return "the mixer acts on single channels there";
    default: return "what stands there acts on single channels (an activation, or a latent of the experts)";
    }
}

/* ---- reading ---- */
typedef struct cq__config {
    const cq_json *j;
    const cq_model *m;
    cq_rotate_plan *plan;
    cq_arena *arena;
    cq_error *err;
    const cq_rotate_note **end; /* where the next note is hung */
    uint32_t matrices, entries, layer_fuse, head_fuse; /* nodes; 0: none */
    uint32_t r1_entry; /* key of the entry that named the stream's matrix first; 0: none */
    cq_str r1;
    size_t at;         /* length of plan->text */
    bool optional;
} cq__config;
typedef struct cq__matrix {
    cq_str name;
    cq_rotate_mode mode;
    cq_rotate_per per;
    cq_str pattern; /* CQ_PER_MODULE */
    size_t dim;     /* 0: that of the heads, as the description has it */
    cq_str key;     /* dim is this key, which config.json does not have */
} cq__matrix;

static void cq__put_bytes(cq__config *c, const char *p, size_t n) {
    c->at = cq__append(c->plan->text, sizeof c->plan->text, c->at, p, n);
}
static void cq__put(cq__config *c, const char *text) { cq__put_bytes(c, text, cq__strlen(text)); }
static void cq__put_size(cq__config *c, size_t n) {
    c->at = cq__append_number(c->plan->text, sizeof c->plan->text, c->at, n);
}
static void cq__put_quoted(cq__config *c, cq_str s) {
    cq__put(c, "'");
    cq__put_bytes(c, s.p, s.n < 100 ? s.n : 100);
    cq__put(c, s.n < 100 ? "'" : "...'");
}
static cq_str cq__json_str(const cq_json *j, uint32_t node) { /* as it stands in the text */
    return cq__str(j->text + j->nodes[node].begin, j->nodes[node].end - j->nodes[node].begin);
}
static void cq__put_node(cq__config *c, uint32_t node) { cq__put_quoted(c, cq__json_str(c->j, node)); }
/* What was put is the name in the error. */
static cq_status cq__config_fail(cq__config *c, cq_status status, const char *what) {
    return cq_fail_at(c->err, status, what, c->plan->text, c->at, UINT64_MAX, INT64_MIN);
}
static cq_status cq__node_fail(cq__config *c, uint32_t node, const char *what) {
    c->at = 0;
    cq__put_node(c, node);
    return cq__config_fail(c, CQ_ERR_FORMAT, what);
}
static void cq__put_pair(cq__config *c, cq_str input, cq_str output) {
    cq__put(c, "[");
    cq__put_bytes(c, input.n ? input.p : "null", input.n ? input.n : 4);
    cq__put(c, ", ");
    cq__put_bytes(c, output.n ? output.p : "null", output.n ? output.n : 4);
    cq__put(c, "]");
}
/* A string without escapes: names and patterns need none. */
static bool cq__plain(const cq_json *j, uint32_t node, cq_str *out) {
    if (cq_json_kind(j, node) != CQ_JSON_STRING || j->nodes[node].escaped) return false;
    *out = cq__json_str(j, node);
    return out->n != 0;
}

/* A note: `what` is in plan->text. NULL where none can be made, as in a dry run. */
static cq_rotate_note *cq__note(cq__config *c, bool completed, const char *module, const char *why, size_t modules) {
    size_t n = cq__strlen(module) + 1;
    char *copy = (char *)cq_alloc(c->arena, n, 1), *what = (char *)cq_alloc(c->arena, c->at + 1, 1);
    cq_rotate_note *note = (cq_rotate_note *)cq_alloc(c->arena, 1, sizeof *note);
    if (note && copy && what) {
        cq__copy(copy, module, n);
        cq__copy(what, c->plan->text, c->at);
        note->completed = completed;
        note->module = copy;
        note->what = what;
        note->why = why;
        note->modules = modules;
        *c->end = note;
        c->end = &note->next;
    }
    c->at = 0;
    return note && copy && what ? note : NULL;
}

/* dim: a number, or a key of the text's part of config.json or of the whole. head_dim and hidden_size that are not
   there (Mixtral has null) are what the description makes of them. */
static cq_status cq__matrix_dim(cq__config *c, uint32_t node, cq__matrix *out) {
    const cq_json *config = &c->m->config;
    int64_t n = 0;
    cq_str key;
    size_t named = 0;
    if (cq_json_int(c->j, node, &n)) {
        if (n < 1 || n > 1 << 24) return cq__node_fail(c, node, "a dim should be between 1 and 2^24");
    } else if (!cq__plain(c->j, node, &key)) {
        return cq__node_fail(c, node, "a dim should be a number, or the name of a key of config.json");
    } else {
        uint32_t at = c->m->text_config ? cq_json_find_n(config, c->m->text_config, key.p, key.n) : 0;
        if (!at || cq_json_is_null(config, at)) at = cq_json_find_n(config, 0, key.p, key.n);
        if (at && cq_json_int(config, at, &n) && n >= 1 && n <= 1 << 24) {
            out->dim = (size_t)n;
            return CQ_OK;
        }
        if ((!at || cq_json_is_null(config, at)) && (cq__str_eq(key, "head_dim") || cq__str_eq(key, "hidden_size"))) {
            out->key = key;
            out->dim = cq__str_eq(key, "hidden_size") ? c->m->hidden : 0;
            return CQ_OK;
        }
        c->at = 0;
        cq__put_quoted(c, key);
        cq__put(c, "; such keys are ");
        for (uint32_t k = cq_json_child(config, c->m->text_config); k && named < 24; k = cq_json_next(config, k)) {
            cq_str s = cq__json_str(config, k);
            if (!cq_json_int(config, cq_json_child(config, k), &n) || n < 2 || n > 1 << 24) continue;
            if (named++) cq__put(c, ", ");
            cq__put_bytes(c, s.p, s.n);
        }
        return cq__config_fail(c, CQ_ERR_FORMAT, "a dim should be a key of config.json whose value is a size");
    }
    out->dim = (size_t)n;
    return CQ_OK;
}
/* The matrix whose key in rotation_matrices this is. */
static cq_status cq__matrix_read(cq__config *c, uint32_t key, cq__matrix *out) {
    static const char *const modes[] = {"hadamard", "base_hadamard", "orthogonal"}; /* in the order of cq_rotate_mode */
    const cq_json *j = c->j;
    uint32_t node = cq_json_child(j, key), dim = 0, mode = 0;
    cq_status st;
    bool yes = false;
    size_t k = 0;
    out->per = CQ_PER_MODEL;
    out->dim = 0;
    out->key = out->pattern = cq__str(NULL, 0);
    if (!cq__plain(j, key, &out->name)) return cq__node_fail(c, key, "the name of a matrix should be plain text");
    if (cq__str_eq(out->name, "null")) return cq__node_fail(c, key, "a matrix cannot be called null");
    for (size_t i = 0; i < out->name.n; i++) /* it becomes the name of a file */
        if (out->name.p[i] == '/' || (unsigned char)out->name.p[i] < 33 || out->name.n > 64)
            return cq__node_fail(c, key, "the name of a matrix should be up to 64 characters without blanks and /");
    if (cq_json_kind(j, node) != CQ_JSON_OBJECT)
        return cq__node_fail(c, key, "a matrix should be an object with dim, mode and per_layer");
    for (uint32_t at = cq_json_child(j, node); at; at = cq_json_next(j, at)) {
        uint32_t value = cq_json_child(j, at);
        if (cq_json_string_eq(j, at, "dim")) dim = value;
        else if (cq_json_string_eq(j, at, "mode")) mode = value;
        else if (!cq_json_string_eq(j, at, "per_layer"))
            return cq__node_fail(c, at, "a matrix has dim, mode and per_layer, and no other key");
        else if (cq_json_bool(j, value, &yes)) out->per = yes ? CQ_PER_LAYER : CQ_PER_MODEL;
        else if (cq__plain(j, value, &out->pattern)) out->per = CQ_PER_MODULE;
        else return cq__node_fail(c, value, "per_layer should be false, true, or a pattern of modules");
    }
    if (!dim) return cq__node_fail(c, key, "a matrix should have a dim: a number, or a key of config.json");
    if ((st = cq__matrix_dim(c, dim, out)) != CQ_OK) return st;
    while (mode && k < 3 && !cq_json_string_eq(j, mode, modes[k])) k++;
    if (k == 3) return cq__node_fail(c, mode, "a mode should be hadamard, base_hadamard or orthogonal");
    out->mode = (cq_rotate_mode)k;
    return CQ_OK;
}
/* Its order for the values of a block; b NULL: for the stream. */
static size_t cq__matrix_order(const cq_model *m, const cq__matrix *mx, const cq_block *b) {
    for (size_t i = 0; !b && i < m->block_count; i++)
        if (m->blocks[i].kind <= CQ_BLOCK_MLA) b = &m->blocks[i];
    return mx->dim ? mx->dim : b ? b->v_dim : m->hidden;
}
static cq_status cq__matrix_named(cq__config *c, uint32_t entry, cq_str name, cq__matrix *out) {
    for (uint32_t k = cq_json_child(c->j, c->matrices); c->matrices && k; k = cq_json_next(c->j, k))
        if (cq__str_same(cq__json_str(c->j, k), name)) return cq__matrix_read(c, k, out);
    c->at = 0;
    cq__put_quoted(c, name);
    cq__put(c, " in the entry ");
    cq__put_node(c, entry);
    cq__put(c, "; defined are");
    for (uint32_t k = cq_json_child(c->j, c->matrices); c->matrices && k; k = cq_json_next(c->j, k)) {
        cq__put(c, " ");
        cq__put_node(c, k);
    }
    return cq__config_fail(c, CQ_ERR_FORMAT, "a matrix should stand in rotation_matrices");
}

/* [input, output] of an entry; null, or none: n = 0 */
static cq_status cq__entry_pair(cq__config *c, uint32_t entry, cq_str pair[2]) {
    uint32_t value = cq_json_child(c->j, entry), side = cq_json_child(c->j, value);
    pair[0] = pair[1] = cq__str(NULL, 0);
    if (cq_json_is_null(c->j, value)) return CQ_OK;
    if (cq_json_kind(c->j, value) == CQ_JSON_ARRAY && c->j->nodes[value].count == 2) {
        size_t i = 0;
        for (; i < 2; i++, side = cq_json_next(c->j, side))
            if (!cq_json_is_null(c->j, side) && !cq__plain(c->j, side, &pair[i])) break;
        if (i == 2) return CQ_OK;
    }
    return cq__node_fail(c, entry, "an entry should be null or [input, output], each null or the name of a matrix");
}
static bool cq__next_pattern(cq_str *rest, cq_str *one) {
    size_t n = 0;
    if (!rest->p) return false;
    while (n < rest->n && rest->p[n] != '|') n++;
    *one = cq__str(rest->p, n);
    *rest = n < rest->n ? cq__str(rest->p + n + 1, rest->n - n - 1) : cq__str(NULL, 0);
    return true;
}
static bool cq__entry_matches(const cq__config *c, uint32_t entry, const cq__module *x) {
    cq_str rest = cq__json_str(c->j, entry), one;
    while (cq__next_pattern(&rest, &one))
        if (cq_glob(one.p, one.n, x->name, x->len) || (x->bare < x->len && cq_glob(one.p, one.n, x->name, x->bare)))
            return true;
    return false;
}
/* The one entry that matches a module (0: none), and what it says. */
static cq_status cq__entry_of(cq__config *c, const cq__module *x, uint32_t *entry, cq_str pair[2]) {
    *entry = 0;
    pair[0] = pair[1] = cq__str(NULL, 0);
    for (uint32_t k = cq_json_child(c->j, c->entries); c->entries && k; k = cq_json_next(c->j, k)) {
        if (!cq__entry_matches(c, k, x)) continue;
        if (*entry) {
            c->at = 0;
            cq__put_quoted(c, cq__str(x->name, x->len));
            cq__put(c, " matches ");
            cq__put_node(c, *entry);
            cq__put(c, " and ");
            cq__put_node(c, k);
            return cq__config_fail(c, CQ_ERR_FORMAT,
                                   "two entries match one module, which would turn twice; exactly one should");
        }
        *entry = k;
    }
    return *entry ? cq__entry_pair(c, *entry, pair) : CQ_OK;
}

/* How many insertions, deletions and replacements make a of b; both are cut to 48 bytes. */
static size_t cq__distance(cq_str a, cq_str b) {
    unsigned char row[49];
    size_t n = b.n < 48 ? b.n : 48;
    for (size_t k = 0; k <= n; k++) row[k] = (unsigned char)k;
    for (size_t i = 0; i < a.n && i < 48; i++) {
        size_t corner = row[0];
        row[0] = (unsigned char)(i + 1);
        for (size_t k = 0; k < n; k++) {
            size_t best = corner + (a.p[i] == b.p[k] ? 0 : 1);
            if (row[k] + 1u < best) best = row[k] + 1u;
            if (row[k + 1] + 1u < best) best = row[k + 1] + 1u;
            corner = row[k + 1];
            row[k + 1] = (unsigned char)best;
        }
    }
    return row[n];
}
static cq_str cq__after_last(cq_str s, bool stars) { /* of the dots (and stars) */
    for (size_t i = s.n; i > 0; i--)
        if (s.p[i - 1] == '.' || (stars && s.p[i - 1] == '*')) return cq__str(s.p + i, s.n - i);
    return s;
}
/* The names of up to three modules that are nearest to a pattern, put into the text. */
static void cq__put_near(cq__config *c, cq_str pattern) {
    char star[256];
    size_t shown = 0, floor = 0; /* each round shows the modules at the next distance */
    cq__module x;
    while (shown < 3) {
        cq__modules cursor = cq__all_modules;
        size_t nearest = SIZE_MAX, d;
        for (int show = 0; show < 2; show++, cursor = cq__all_modules)
            while (shown < 3 && cq__next_module(c->m, &cursor, &x)) {
                cq_str rest = pattern, one;
                size_t best = SIZE_MAX;
                if (!cursor.first) continue;
                while (cq__next_pattern(&rest, &one)) {
                    d = 1 + cq__distance(cq__after_last(one, true), cq__after_last(cq__str(x.name, x.bare), false));
                    best = d < best ? d : best;
                }
                if (!show && best > floor && best < nearest) nearest = best;
                if (!show || best != nearest) continue;
                cq__put(c, shown++ ? ", " : "; near are ");
                cq__put_bytes(c, star, cq__star_name(c->m, &x, star, sizeof star));
            }
        if (nearest == SIZE_MAX) return;
        floor = nearest;
    }
}

static cq_status cq__config_object(cq__config *c, uint32_t key, uint32_t *out) {
    uint32_t value = cq_json_child(c->j, key);
    if (cq_json_kind(c->j, value) == CQ_JSON_OBJECT) *out = value;
    else if (!cq_json_is_null(c->j, value)) return cq__node_fail(c, key, "this key should be an object");
    return CQ_OK;
}
/* The keys at the top, the matrices and the entries, by themselves. */
static cq_status cq__config_read(cq__config *c) {
    const cq_json *j = c->j;
    uint32_t fuse = 0;
    cq_status st;
    cq__matrix mx;
    cq_str pair[2];
    if (!j->nodes || cq_json_kind(j, 0) != CQ_JSON_OBJECT)
        return cq__config_fail(c, CQ_ERR_FORMAT, "a rotation should be an object with rotation_matrices and "
                                                 "rotation_config, or norm_fuse_config");
    for (uint32_t key = cq_json_child(j, 0); key; key = cq_json_next(j, key)) {
        uint32_t value = cq_json_child(j, key);
        bool wide = cq_json_string_eq(j, key, "use_float64");
        if (cq_json_string_eq(j, key, "rotation_matrices")) st = cq__config_object(c, key, &c->matrices);
        else if (cq_json_string_eq(j, key, "rotation_config")) st = cq__config_object(c, key, &c->entries);
        else if (cq_json_string_eq(j, key, "norm_fuse_config")) st = cq__config_object(c, key, &fuse);
        else if (!wide && !cq_json_string_eq(j, key, "optional_entries"))
            return cq__node_fail(c, key, "a rotation has rotation_matrices, rotation_config, norm_fuse_config, "
                                         "use_float64, optional_entries, and no other key");
        else if (!cq_json_bool(j, value, wide ? &c->plan->use_float64 : &c->optional))
            return cq__node_fail(c, key, "this key should be true or false");
        else st = CQ_OK;
        if (st) return st;
    }
    for (uint32_t key = fuse ? cq_json_child(j, fuse) : 0; key; key = cq_json_next(j, key)) {
        uint32_t value = cq_json_child(j, key);
        bool layer = cq_json_string_eq(j, key, "decoder_layer_fuse");
        if (!layer && !cq_json_string_eq(j, key, "lm_head_fuse"))
            return cq__node_fail(c, key, "norm_fuse_config has decoder_layer_fuse and lm_head_fuse, and no other key");
        if (cq_json_kind(j, value) == CQ_JSON_ARRAY) *(layer ? &c->layer_fuse : &c->head_fuse) = value;
        else if (!cq_json_is_null(j, value)) return cq__node_fail(c, key, "this key should be a list");
    }
    for (uint32_t key = c->matrices ? cq_json_child(j, c->matrices) : 0; key; key = cq_json_next(j, key))
        if ((st = cq__matrix_read(c, key, &mx)) != CQ_OK) return st;
    if (c->entries && j->nodes[c->entries].count > 256)
        return cq__config_fail(c, CQ_ERR_UNSUPPORTED, "rotation_config should have at most 256 entries");
    for (uint32_t key = c->entries ? cq_json_child(j, c->entries) : 0; key; key = cq_json_next(j, key)) {
        if (!cq__plain(j, key, &pair[0])) return cq__node_fail(c, key, "a pattern should be plain text");
        if ((st = cq__entry_pair(c, key, pair)) != CQ_OK) return st;
        for (size_t i = 0; i < 2; i++)
            if (pair[i].n && (st = cq__matrix_named(c, key, pair[i], &mx)) != CQ_OK) return st;
    }
    return CQ_OK;
}

/* ---- what it asks for, against what is possible ---- */
/* "'model.layers.0.self_attn.q_proj' in the entry '*q_proj': its output should be null" */
static void cq__put_module(cq__config *c, const cq__module *x, uint32_t entry, size_t side) {
    c->at = 0;
    cq__put_quoted(c, cq__str(x->name, x->len));
    cq__put(c, " in the entry ");
    cq__put_node(c, entry);
    cq__put(c, side ? ": its output" : ": its input");
}
static cq_status cq__check_stream(cq__config *c, const cq__module *x, uint32_t entry, size_t side, cq_str name) {
    cq__matrix mx;
    cq_status st;
    size_t n;
    cq__put_module(c, x, entry, side);
    if (c->plan->r1[0].why) {
        cq__put(c, " should be null; in the way stands ");
        cq__put(c, c->plan->r1[0].why);
        return cq__config_fail(c, CQ_ERR_UNSUPPORTED, "the residual stream of this model cannot turn (auto turns what "
                                                      "can)");
    }
    if (c->r1_entry && !cq__str_same(c->r1, name)) {
        cq__put(c, " turns by ");
        cq__put_quoted(c, name);
        cq__put(c, ", but the entry ");
        cq__put_node(c, c->r1_entry);
        cq__put(c, " turns the same stream by ");
        cq__put_quoted(c, c->r1);
        return cq__config_fail(c, CQ_ERR_FORMAT, "all that reads and writes one stream should turn by one matrix");
    }
    if ((st = cq__matrix_named(c, entry, name, &mx)) != CQ_OK) return st;
    cq__put_module(c, x, entry, side);
    if (mx.per != CQ_PER_MODEL) {
        cq__put(c, ": per_layer of ");
        cq__put_quoted(c, name);
        cq__put(c, " should be false");
        return cq__config_fail(c, CQ_ERR_FORMAT, "the stream runs through all layers, so its matrix cannot be one for "
                                                 "each");
    }
    n = cq__matrix_order(c->m, &mx, NULL);
    if (c->m->hidden % n) {
        cq__put(c, " has ");
        cq__put_size(c, c->m->hidden);
        cq__put(c, " channels, and the dim of ");
        cq__put_quoted(c, name);
        cq__put(c, " is ");
        cq__put_size(c, n);
        return cq__config_fail(c, CQ_ERR_FORMAT, "a dim should divide the axis");
    }
    c->r1 = name;
    if (!c->r1_entry) c->r1_entry = entry;
    return CQ_OK;
}
/* The module around this one, or itself, that a pattern of per_layer matches: so much of its name; 0: none */
static size_t cq__owner(cq_str pattern, const char *name, size_t len) {
    for (; len > 0; len--)
        if ((!name[len] || name[len] == '.') && cq_glob(pattern.p, pattern.n, name, len)) return len;
    return 0;
}
/* What the modules around the values of a block ask for. */
typedef struct cq__asked {
    bool any;
    cq__matrix mx;
    size_t owner;    /* CQ_PER_MODULE: length of the name of the module around both ends */
    uint32_t entry;  /* the first that asks, */
    char first[256]; /* and for which module */
} cq__asked;
static cq_status cq__module_values(cq__config *c, cq__module *x, cq__asked *a) {
    const cq_block *b = x->block;
    uint32_t entry;
    cq_str pair[2];
    cq_status st;
    size_t owner, side;
    cq__linear_sides(c->m, b, x->linear, x->side);
    side = x->side[1] == CQ__SIDE_VALUES;
    if (x->side[side] != CQ__SIDE_VALUES) return CQ_OK;
    x->len = x->bare = cq_module_name(c->m, b, x->linear, x->name, sizeof x->name);
    if ((st = cq__entry_of(c, x, &entry, pair)) != CQ_OK) return st;
    if (!pair[side].n) return CQ_OK;
    if (a->any && !cq__str_same(a->mx.name, pair[side])) {
        cq__put_module(c, x, entry, side);
        cq__put(c, " turns by ");
        cq__put_quoted(c, pair[side]);
        cq__put(c, ", but the entry ");
        cq__put_node(c, a->entry);
        cq__put(c, " turns the other end by ");
        cq__put_quoted(c, a->mx.name);
        return cq__config_fail(c, CQ_ERR_FORMAT, "the values of a block should turn by one matrix");
    }
    if ((st = cq__matrix_named(c, entry, pair[side], &a->mx)) != CQ_OK) return st;
    cq__put_module(c, x, entry, side);
    if (cq__r2_obstacle(c->m, b)) {
        cq__put(c, " should be null; in the way stands ");
        cq__put(c, cq__r2_obstacle(c->m, b));
        return cq__config_fail(c, CQ_ERR_UNSUPPORTED, "the values of this block cannot turn (auto turns what can)");
    }
    if (b->v_dim % cq__matrix_order(c->m, &a->mx, b)) {
        cq__put(c, " has ");
        cq__put_size(c, b->v_dim);
        cq__put(c, " channels a head, and the dim of ");
        cq__put_quoted(c, a->mx.name);
        cq__put(c, " is ");
        cq__put_size(c, a->mx.dim);
        return cq__config_fail(c, CQ_ERR_FORMAT, "a dim should divide the axis");
    }
    owner = a->mx.per == CQ_PER_MODULE ? cq__owner(a->mx.pattern, x->name, x->len) : 0;
    if (a->mx.per == CQ_PER_MODULE &&
        (!owner || (a->any && (owner != a->owner || !cq__equal(a->first, x->name, owner))))) {
        cq__put(c, owner ? " has another than the other end; per_layer is " : " is in none; per_layer is ");
        cq__put_quoted(c, a->mx.pattern);
        return cq__config_fail(c, CQ_ERR_FORMAT, "per_layer should match a module around both ends of the values, "
                                                 "such as *self_attn");
    }
    a->owner = owner;
    if (!a->any) a->entry = entry;
    a->any = true;
    cq__copy(a->first, x->name, x->len + 1);
    return CQ_OK;
}
/* R2 of a block: what its modules ask for, and those of the other blocks that read its values. */
static cq_status cq__block_values(cq__config *c, const cq_block *b, cq__asked *a) {
    const cq_block *first = b->lends || b->lender ? cq__r2_first(c->m, b, NULL) : NULL;
    cq__module x;
    cq_status st;
    cq__fill(a, 0, sizeof *a);
    for (size_t o = 0; o < c->m->block_count; o++) {
        x.block = &c->m->blocks[o];
        if (x.block != b && (!first || cq__r2_first(c->m, x.block, NULL) != first)) continue;
        for (size_t i = 0; i < x.block->linears; i++) {
            x.linear = &x.block->lin[i];
            if ((st = cq__module_values(c, &x, a)) != CQ_OK) return st;
        }
    }
    return CQ_OK;
}
/* Everything that an entry asks of a module is possible, and every entry is for something. */
static cq_status cq__check_entries(cq__config *c) {
    cq__modules cursor = cq__all_modules;
    cq__module x;
    uint32_t entry;
    cq_str pair[2];
    cq_status st;
    for (uint32_t k = c->entries ? cq_json_child(c->j, c->entries) : 0; k; k = cq_json_next(c->j, k)) {
        bool hit = false;
        for (cursor = cq__all_modules; !hit && cq__next_module(c->m, &cursor, &x);) hit = cq__entry_matches(c, k, &x);
        if (hit) continue;
        c->at = 0;
        cq__put_node(c, k);
        if (c->optional) {
            (void)cq__note(c, false, "", "matches no module here", 0);
            continue;
        }
        cq__put_near(c, cq__json_str(c->j, k));
        return cq__config_fail(c, CQ_ERR_MISSING, "an entry matches no module");
    }
    for (cursor = cq__all_modules; cq__next_module(c->m, &cursor, &x);) {
        if ((st = cq__entry_of(c, &x, &entry, pair)) != CQ_OK) return st;
        for (size_t i = 0; i < 2; i++) {
            if (!pair[i].n || x.side[i] == CQ__SIDE_VALUES) continue;
            if (x.side[i] == CQ__SIDE_STREAM) {
                if ((st = cq__check_stream(c, &x, entry, i, pair[i])) != CQ_OK) return st;
                continue;
            }
            cq__put_module(c, &x, entry, i);
            cq__put(c, " should be null; ");
            cq__put(c, cq__why_still(&x, i));
            return cq__config_fail(c, CQ_ERR_FORMAT, "nothing can turn there");
        }
    }
    return CQ_OK;
}

/* ---- norm_fuse_config ---- */
static bool cq__lists(const cq_json *j, uint32_t list, cq_str name) {
    if (cq_json_kind(j, list) == CQ_JSON_STRING) return cq__str_same(cq__json_str(j, list), name);
    for (uint32_t e = cq_json_child(j, list); e; e = cq_json_next(j, e))
        if (cq__str_same(cq__json_str(j, e), name)) return true;
    return false;
}
/* Is a reader listed with this norm? */
static bool cq__fuse_listed(const cq__config *c, uint32_t list, cq_str norm, cq_str reader) {
    for (uint32_t e = list ? cq_json_child(c->j, list) : 0; e; e = cq_json_next(c->j, e)) {
        uint32_t first = cq_json_child(c->j, e);
        if (cq__str_same(cq__json_str(c->j, first), norm) && cq__lists(c->j, cq_json_next(c->j, first), reader))
            return true;
    }
    return false;
}
/* What a name in decoder_layer_fuse is in any layer. */
typedef enum cq__fused { CQ__FUSED_NONE, CQ__FUSED_OTHER, CQ__FUSED_BEHIND, CQ__FUSED_PRE } cq__fused;
static cq__fused cq__fuse_norm(const cq_model *m, cq_str name) {
    cq__fused found = CQ__FUSED_NONE;
    for (size_t i = 0; i < m->block_count; i++)
        for (size_t k = 0; k < CQ_NORM_COUNT; k++) {
            const cq_norm *norm = &m->blocks[i].norm[k];
            cq__fused is = k == CQ_NORM_PRE ? CQ__FUSED_PRE : k < CQ_NORM_Q ? CQ__FUSED_BEHIND : CQ__FUSED_OTHER;
            if (norm->on && is > found && cq__str_same(cq__norm_in_layer(m, &m->blocks[i], norm), name)) found = is;
        }
    return found;
}
/* Does a reader of this name stand behind that norm? *there: it is a linear at all; *reads: what it reads instead, in
   the tensor's name; n = 0: no norm of the stream. */
static bool cq__fuse_reads(const cq_model *m, cq_str norm, cq_str reader, bool *there, cq_str *reads) {
    cq__modules cursor = cq__all_modules;
    cq__module x;
    *there = false;
    *reads = cq__str(NULL, 0);
    while (cq__next_module(m, &cursor, &x)) {
        if (!x.block || !cursor.first) continue;
        if (!cq__str_same(cq__name_in_layer(m, x.block, x.name, x.bare), reader)) continue;
        *there = true;
        if (x.side[0] == CQ__SIDE_STREAM) *reads = cq__norm_in_layer(m, x.block, cq__norm_read(m, x.block, x.linear));
        if (reads->n && cq__str_same(*reads, norm)) return true;
    }
    return false;
}
static cq_status cq__check_reader(cq__config *c, cq__fused is, uint32_t norm, uint32_t reader) {
    cq_str name, reads;
    bool there;
    if (!cq__plain(c->j, reader, &name)) return cq__node_fail(c, norm, "the readers of a norm should be their names");
    if (is != CQ__FUSED_PRE || cq__fuse_reads(c->m, cq__json_str(c->j, norm), name, &there, &reads)) return CQ_OK;
    c->at = 0;
    cq__put_quoted(c, name);
    cq__put(c, " with the norm ");
    cq__put_node(c, norm);
    if (there) {
        cq__put(c, reads.n ? ", but it reads " : ", but it reads no norm of the stream");
        if (reads.n) cq__put_quoted(c, reads);
        return cq__config_fail(c, CQ_ERR_FORMAT, "a norm folds into what reads it");
    }
    if (c->optional) {
        (void)cq__note(c, false, "", "a reader that no layer has", 0);
        return CQ_OK;
    }
    cq__put_near(c, name);
    return cq__config_fail(c, CQ_ERR_MISSING, "a reader of a norm is in no layer");
}
static cq_status cq__check_fuse(cq__config *c) {
    const cq_json *j = c->j;
    cq_str norm;
    cq_status st;
    for (int head = 0; head < 2; head++) {
        uint32_t list = head ? c->head_fuse : c->layer_fuse;
        for (uint32_t e = list ? cq_json_child(j, list) : 0; e; e = cq_json_next(j, e)) {
            uint32_t first = cq_json_child(j, e), readers = cq_json_next(j, first);
            cq__fused is;
            if (cq_json_kind(j, e) != CQ_JSON_ARRAY || j->nodes[e].count != 2 || !cq__plain(j, first, &norm) ||
                (cq_json_kind(j, readers) != CQ_JSON_STRING && cq_json_kind(j, readers) != CQ_JSON_ARRAY))
                return cq__node_fail(c, e, head ? "an element of lm_head_fuse should be [norm, head]"
                                                : "an element of decoder_layer_fuse should be [norm, [readers]]");
            c->at = 0;
            cq__put_quoted(c, norm);
            if (head) {
                char name[256];
                cq_str last = cq__norm_in_layer(c->m, NULL, &c->m->norm);
                size_t n = cq_head_name(c->m, name, sizeof name);
                if (cq__str_same(last, norm) && cq__lists(j, readers, cq__str(name, n))) continue;
                cq__put(c, "; the norm before the head ");
                cq__put_quoted(c, cq__str(name, n));
                cq__put(c, last.n ? " is " : " has no gain");
                if (last.n) cq__put_quoted(c, last);
                if (!c->optional)
                    return cq__config_fail(c, CQ_ERR_MISSING, "lm_head_fuse should be the norm before the head, and "
                                                              "the head");
                (void)cq__note(c, false, "", "lm_head_fuse names what is not here", 0);
                continue;
            }
            is = cq__fuse_norm(c->m, norm);
            if (is == CQ__FUSED_BEHIND)
                return cq__config_fail(c, CQ_ERR_UNSUPPORTED, "a norm behind a block cannot be folded into what reads "
                                                              "the stream");
            if (is == CQ__FUSED_NONE && !c->optional) {
                cq__put(c, "; what reads the stream has");
                for (size_t i = 0; i < c->m->block_count && c->m->blocks[i].layer == c->m->blocks[0].layer; i++) {
                    cq_str own = cq__norm_in_layer(c->m, &c->m->blocks[i], &c->m->blocks[i].norm[CQ_NORM_PRE]);
                    if (own.n) cq__put(c, " ");
                    if (own.n) cq__put_quoted(c, own);
                }
                return cq__config_fail(c, CQ_ERR_MISSING, "a norm of decoder_layer_fuse is in no layer");
            }
            if (is == CQ__FUSED_NONE) (void)cq__note(c, false, "", "a norm that no layer has", 0);
            if (is == CQ__FUSED_OTHER)
                (void)cq__note(c, false, "", "a norm within a block stays: nothing that turns is behind it", 0);
            if (is < CQ__FUSED_OTHER) continue;
            if (cq_json_kind(j, readers) == CQ_JSON_STRING && (st = cq__check_reader(c, is, first, readers)) != CQ_OK)
                return st;
            for (uint32_t r = cq_json_kind(j, readers) == CQ_JSON_ARRAY ? cq_json_child(j, readers) : 0; r;
                 r = cq_json_next(j, r))
                if ((st = cq__check_reader(c, is, first, r)) != CQ_OK) return st;
        }
    }
    return CQ_OK;
}

/* ---- making it ---- */
static cq_status cq__config_matrix(cq__config *c, const cq__matrix *mx, size_t n, uint64_t seed, uint64_t stream,
                                   cq_rotation *out) {
    size_t below, above;
    cq_status st = cq_rotation_init(out, mx->mode, n, seed, stream, c->arena, c->err);
    if (st != CQ_ERR_UNSUPPORTED) return st;
    cq_hadamard_nearest(n, &below, &above);
    c->at = 0;
    cq__put_quoted(c, mx->name);
    cq__put(c, " of order ");
    cq__put_size(c, n);
    cq__put(c, "; the nearest are ");
    cq__put_size(c, below);
    cq__put(c, " and ");
    cq__put_size(c, above);
    cq__put(c, ", and the mode orthogonal has all");
    return cq__config_fail(c, st, "no Hadamard matrix of this order can be made");
}
/* R2 of all blocks that turn by this matrix. */
static cq_status cq__config_values(cq__config *c, const cq__matrix *mx, const cq_context *ctx, uint64_t seed,
                                   size_t *most) {
    cq_rotation r;
    cq__asked own;
    const cq_block *last = NULL; /* the block that has r */
    char *last_name = c->plan->module, name[256];
    size_t last_owner = 0, last_layer = 0;
    cq_status st;
    r.n = 0;
    for (size_t i = 0; i < c->m->block_count; i++) {
        const cq_block *b = &c->m->blocks[i];
        size_t n = cq__matrix_order(c->m, mx, b), layer, scratch;
        bool same;
        if (b->kind > CQ_BLOCK_MLA) continue;
        if ((st = cq__block_values(c, b, &own)) != CQ_OK) return st;
        if (!own.any || !cq__str_same(own.mx.name, mx->name)) continue;
        layer = cq__r2_first(c->m, b, NULL)->layer;
        (void)cq_module_name(c->m, b, cq_block_linear(b, CQ_ROLE_O, 0), name, sizeof name);
        if (last && r.n != n && mx->per == CQ_PER_MODEL) {
            c->at = 0;
            cq__put_quoted(c, mx->name);
            cq__put(c, " would have ");
            cq__put_size(c, r.n);
            cq__put(c, " and ");
            cq__put_size(c, n);
            cq__put(c, "; dim should be a number that divides both, or per_layer true");
            return cq__config_fail(c, CQ_ERR_FORMAT, "one matrix for all layers cannot have two orders");
        }
        same = last && r.n == n;
        if (mx->per == CQ_PER_LAYER) same = same && layer == last_layer;
        if (mx->per == CQ_PER_MODULE) same = same && own.owner == last_owner && cq__equal(name, last_name, own.owner);
        if (!same) {
            bool streams = cq__str_same(mx->name, c->r1) && c->r1.n;
            uint64_t stream = mx->per != CQ_PER_MODEL ? 1 + (uint64_t)layer : streams ? 0 : 1;
            if ((st = cq__config_matrix(c, mx, n, seed, stream, &r)) != CQ_OK) return st;
            last = b;
            last_owner = own.owner;
            last_layer = layer;
            cq__copy(last_name, name, sizeof name);
        }
        if (!c->plan->r2_count++ && mx->key.n) {
            c->at = 0;
            cq__put_quoted(c, mx->key);
            cq__put(c, " is ");
            cq__put_size(c, n);
            (void)cq__note(c, false, "", "config.json has no such key; as the description has it", 0);
        }
        if (c->plan->r2 && c->plan->values) {
            c->plan->r2[i] = r;
            c->plan->values[i].name = mx->name;
            c->plan->values[i].per = mx->per;
            c->plan->values[i].owner_len = own.owner;
            c->plan->values[i].layer = layer;
            c->plan->values[i].first = mx->per == CQ_PER_LAYER ? cq__values_first(c->plan, i)
                                                               : (size_t)(last - c->m->blocks);
        }
        scratch = cq_rotation_scratch(ctx, &r);
        *most = scratch > *most ? scratch : *most;
    }
    return CQ_OK;
}

static const char *cq__why_completed(const cq__module *x, bool stream, bool values) {
    if (!stream && !values) return "it reads this norm, too";
    if (!x->block) return x->linear ? "the head reads the stream" : "its rows enter the stream";
    if (x->bare < x->len) return "experts in one tensor read or write the stream as well";
    switch (x->linear->role) {
    case CQ_ROLE_ROUTER: return "the router reads the stream";
    case CQ_ROLE_SHARED_MIX:
    case CQ_ROLE_MIX2: return "the gate of the shared expert reads the stream";
    default: break;
    }
    if (!stream) return "both ends of the values turn";
    return x->side[0] == CQ__SIDE_STREAM ? "it reads the stream" : "it writes the stream";
}
/* What was done beyond the words of the configuration, role by role. */
static cq_status cq__config_notes(cq__config *c) {
    cq__modules cursor = cq__all_modules;
    cq__module x;
    const cq_rotate_stream *r1 = &c->plan->r1[0];
    cq_rotate_note *note = NULL; /* of the role at hand */
    bool noted = false, biased = false, plus_one = c->m->norm.plus_one;
    char *star = c->plan->module;
    while (cq__next_module(c->m, &cursor, &x)) {
        bool stream = false, values = false, fold = false, rows = false;
        cq_str pair[2], has[2], gain = cq__str(NULL, 0);
        cq__asked asked;
        uint32_t entry;
        cq_status st;
        noted = noted && !cursor.first;
        for (size_t i = 0; i < 2; i++) {
            asked.any = false;
            has[i] = x.side[i] == CQ__SIDE_STREAM && r1->on && r1->r.n > 1 ? c->r1 : cq__str(NULL, 0);
            if (x.side[i] == CQ__SIDE_VALUES && (st = cq__block_values(c, x.block, &asked)) != CQ_OK) return st;
            if (asked.any) has[i] = asked.mx.name;
            rows = rows || (asked.any && i && x.linear->role != CQ_ROLE_V);
            biased = biased || (i && x.block && x.linear->bias && has[1].n);
        }
        if ((st = cq__entry_of(c, &x, &entry, pair)) != CQ_OK) return st;
        for (size_t i = 0; i < 2; i++) {
            bool lacks = has[i].n && !pair[i].n;
            stream = stream || (lacks && x.side[i] == CQ__SIDE_STREAM);
            values = values || (lacks && x.side[i] == CQ__SIDE_VALUES);
        }
        if (r1->on && x.side[0] == CQ__SIDE_STREAM && x.linear) {
            const cq_norm *pre = cq__norm_read(c->m, x.block, x.linear);
            if (pre) gain = cq__norm_in_layer(c->m, x.block, pre);
            plus_one = plus_one || (pre && pre->plus_one);
            fold = gain.n && cq__uneven(pre, c->m->hidden) &&
                   !cq__fuse_listed(c, x.block ? c->layer_fuse : c->head_fuse, gain,
                                    cq__name_in_layer(c->m, x.block, x.name, x.bare));
        }
        if ((stream || values || fold) && noted && note) note->modules++;
        if ((stream || values || fold) && !noted) { /* the first of its role stands for all */
            c->at = 0;
            if (stream || values) cq__put_pair(c, has[0], has[1]);
            if (fold) cq__put(c, stream || values ? ", and the gain of " : "the gain of ");
            if (fold) cq__put_bytes(c, gain.p, gain.n);
            (void)cq__star_name(c->m, &x, star, sizeof c->plan->module);
            note = cq__note(c, true, star, cq__why_completed(&x, stream, values), 1);
            noted = true;
        }
        if (rows && cursor.first) {
            c->at = 0;
            cq__put(c, "at its output ");
            cq__put_bytes(c, has[1].p, has[1].n);
            (void)cq__star_name(c->m, &x, star, sizeof c->plan->module);
            (void)cq__note(c, false, star, "only its rows of values turn", 1);
        }
    }
    c->at = 0;
    if (cq_rotate_unties(c->plan, c->m)) {
        (void)cq_head_name(c->m, star, sizeof c->plan->module);
        cq__put(c, "a tensor of its own");
        (void)cq__note(c, true, star, "it is tied to the embedding, which has no gain of a norm folded in", 1);
    }
    if (r1->on && r1->r.n > 1 && r1->mean) {
        cq__put(c, "a reflection behind R1");
        (void)cq__note(c, true, "", "LayerNorm takes the mean away, which R1 has to keep", 0);
    }
    if (r1->on && plus_one) {
        cq__put(c, "norms that hold w of 1 + w");
        (void)cq__note(c, false, "", "their gain is 1 + w, and what stays is w = 0", 0);
    }
    if (biased) {
        cq__put(c, "biases");
        (void)cq__note(c, false, "", "a bias b where the output turns by R becomes b R", 0);
    }
    return CQ_OK;
}

CQUANT_DEF cq_status cq_rotate_plan_config(cq_rotate_plan *plan, const cq_context *ctx, const cq_model *m,
                                           const cq_json *config, uint64_t seed, cq_arena *arena, cq_error *err) {
    cq__config c;
    cq__matrix mx;
    cq_rotate_stream *r1 = &plan->r1[0];
    size_t most = 0;
    cq_status st;
    cq__plan_begin(plan, m, arena);
    cq__fill(&c, 0, sizeof c);
    c.j = config;
    c.m = m;
    c.plan = plan;
    c.arena = arena;
    c.err = err;
    c.end = &plan->notes;
    if (m->two_streams)
        return cq_fail(err, CQ_ERR_UNSUPPORTED, "a model with two streams takes no configuration, which has words for "
                                                "one; auto does");
    if ((st = cq__config_read(&c)) != CQ_OK) return st;
    if ((st = cq__check_entries(&c)) != CQ_OK) return st;
    if ((st = cq__check_fuse(&c)) != CQ_OK) return st;
    c.at = 0;
    if ((c.layer_fuse || c.head_fuse) && r1->why && !c.optional) {
        cq__put(&c, r1->why);
        return cq__config_fail(&c, CQ_ERR_UNSUPPORTED, "the norms of this model cannot be folded; in the way stands");
    }
    r1->on = !r1->why && (c.r1_entry || c.layer_fuse || c.head_fuse);
    if (!c.r1_entry && !r1->why) r1->why = "the configuration does not ask for it";
    if (r1->on && c.r1_entry) {
        if ((st = cq__matrix_named(&c, c.r1_entry, c.r1, &mx)) != CQ_OK) return st;
        r1->name = c.r1;
        if (mx.key.n) {
            c.at = 0;
            cq__put_quoted(&c, mx.key);
            cq__put(&c, " is ");
            cq__put_size(&c, cq__matrix_order(m, &mx, NULL));
            (void)cq__note(&c, false, "", "config.json has no such key; as the description has it", 0);
        }
        if ((st = cq__config_matrix(&c, &mx, cq__matrix_order(m, &mx, NULL), seed, 0, &r1->r)) != CQ_OK) return st;
    } else if (r1->on) { /* norms alone: a matrix of order 1 is 1 */
        if ((st = cq_rotation_init(&r1->r, CQ_ROTATE_BASE_HADAMARD, 1, 0, 0, arena, err)) != CQ_OK) return st;
    }
    if (r1->on) most = cq_rotation_scratch(ctx, &r1->r);
    for (uint32_t k = c.matrices ? cq_json_child(config, c.matrices) : 0; k; k = cq_json_next(config, k)) {
        size_t before = plan->r2_count;
        if ((st = cq__matrix_read(&c, k, &mx)) != CQ_OK) return st;
        if ((st = cq__config_values(&c, &mx, ctx, seed, &most)) != CQ_OK) return st;
        if (plan->r2_count > before || cq__str_same(mx.name, c.r1)) continue;
        c.at = 0;
        cq__put_quoted(&c, mx.name);
        (void)cq__note(&c, false, "", "a matrix by which nothing turns", 0);
    }
    c.at = 0;
    if (!r1->on && !plan->r2_count)
        return cq__config_fail(&c, CQ_ERR_UNSUPPORTED, "this configuration turns nothing and folds no norm");
    if ((st = cq__config_notes(&c)) != CQ_OK) return st;
    return cq__plan_end(plan, ctx, m, most, arena, err);
}

/* ---- the matrices of a plan, out and in ---- */
CQUANT_DEF bool cq_rotate_plan_matrix(const cq_rotate_plan *plan, const cq_model *m, size_t index,
                                      cq_rotate_matrix *out) {
    size_t n;
    cq__fill(out, 0, sizeof *out);
    for (size_t i = 0; i < 2; i++) {
        if (!plan->r1[i].on || plan->r1[i].r.n < 2 || index--) continue;
        out->r = &plan->r1[i].r;
        out->name = plan->r1[i].name;
        (void)cq__append(out->file, sizeof out->file, 0, out->name.p, out->name.n);
        return true;
    }
    for (size_t i = 0; i < m->block_count; i++) {
        const cq_block *b = &m->blocks[i];
        if (!cq__r2(plan, m, b) || plan->values[i].first != i || index--) continue;
        out->r = &plan->r2[i];
        out->name = plan->values[i].name;
        out->per = plan->values[i].per;
        out->block = b;
        for (size_t k = i; k < m->block_count; k++)
            if (plan->r2[k].n && plan->values[k].first == i) out->blocks++;
        n = cq__append(out->file, sizeof out->file, 0, out->name.p, out->name.n);
        if (out->per != CQ_PER_MODEL) n = cq__append(out->file, sizeof out->file, n, ".", 1);
        if (out->per == CQ_PER_LAYER) (void)cq__append_number(out->file, sizeof out->file, n, plan->values[i].layer);
        if (out->per == CQ_PER_MODULE) {
            (void)cq_module_name(m, b, cq_block_linear(b, CQ_ROLE_O, 0), out->file + n, sizeof out->file - n);
            if (n + plan->values[i].owner_len < sizeof out->file) out->file[n + plan->values[i].owner_len] = 0;
        }
        return true;
    }
    return false;
}

CQUANT_DEF cq_status cq_rotate_plan_import(cq_rotate_plan *plan, const cq_context *ctx, const cq_model *m,
                                           const double *const *matrix, cq_arena *arena, cq_error *err) {
    cq_rotate_matrix at;
    cq_status st;
    size_t most = 0, scratch;
    for (size_t i = 0; cq_rotate_plan_matrix(plan, m, i, &at); i++) {
        cq_rotation r = *at.r;
        if (!arena->base || (matrix && matrix[i])) {
            double *work = (double *)cq_alloc(arena, at.r->n, sizeof(double));
            if (arena->base && work && !(cq_orthogonality_probe(matrix[i], at.r->n, work) <= CQ_ORTHOGONALITY_LIMIT)) {
                size_t n = cq__append(plan->text, sizeof plan->text, 0, at.file, cq__strlen(at.file));
                return cq_fail_at(err, CQ_ERR_RANGE, "a matrix should be orthogonal", plan->text, n, UINT64_MAX,
                                  INT64_MIN);
            }
            if (arena->base) {
                if ((st = cq_rotation_import(&r, matrix[i], at.r->n, arena, err)) != CQ_OK) return st;
            } else {
                (void)cq__alloc_dense(arena, at.r->n);
                r.mode = CQ_ROTATE_DENSE;
            }
        }
        scratch = cq_rotation_scratch(ctx, &r);
        most = scratch > most ? scratch : most;
        if (!arena->base) continue;
        for (size_t s = 0; s < 2; s++)
            if (at.r == &plan->r1[s].r) plan->r1[s].r = r;
        for (size_t k = at.block ? m->block_count : 0; k-- > 0;)
            if (plan->r2[k].n && plan->values[k].first == (size_t)(at.block - m->blocks)) plan->r2[k] = r;
    }
    plan->scratch = cq_alloc(arena, most, 1);
    if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for the matrices");
    for (size_t t = 0; arena->base && t < 2; t++)
        if (plan->r1[t].mirror && (st = cq__mirror(&plan->r1[t], ctx, m->hidden, plan->scratch, err)) != CQ_OK)
            return st;
    return CQ_OK;
}

/* ===================================================================================================================
   [LESSON 9 quantizing a model]
   Block after block, and within it group after group of linears that share an input: run all calibration samples up to
   that input, add up its Hessian, factor it once, solve each linear, and put the quantised weights in its place, so
   that everything after it is calibrated on what it will really see ("true sequential"). At the end of a block its
   output, computed with quantised weights, is the input of the next.

   An expert has Hessians of its own: of the rows that the router sends to it, weighted by a power of the routing
   weight, which is what its error is multiplied with. The router stays as it is, so that its choice can be counted
   before anything else is done. An expert that sees too few rows is not left to what they happen to say: it gets the
   Hessian of every row, as if all had been sent to it (one for the gate and up of all such experts, as they read the
   same; each has its own for down), or is rounded to nearest; and it is reported. All experts are run through the same
   samples, so as many Hessians as memory allows are summed up at once.

   With `correct` the samples run through the whole model beside the quantised one, layer by layer too, and the weights
   are moved, before they are quantised, towards what gives the old outputs on the new inputs (cquant_gptq.h, LESSON 6).
   A share of 0.25 takes 15 and 25 % off the KL of SmolLM2-135M (two draws of 8192 tokens, int4) and 11 % off that of the
   5 million parameters in this repository (16384 tokens), 0.5 takes 14 and 15 % (one draw); with 512 tokens it adds 3 %:
   the weights then follow the noise of a few samples.

   A layer that reads the keys and values of an earlier one finds those that the quantised layer has made: what is lent
   is kept for every sample, and put into the cache before the reader runs.

   Blocks that read one stream beside each other, or see each other's rows (two streams), form a unit: the samples run
   through the unit from its beginning, and the stream is only put back when all of it is done. If blocks beside each
   other have one norm as well, what they read first is the same, and one Hessian and one factor serve them all.
   ================================================================================================================== */
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
    unsigned char *acts; /* activations of all samples, see cq__act_place; NULL: behind desc->load */
    size_t unit_floats[4], sample_floats; /* of a sample: tokens, text, what is lent, tokens of the whole model; all */
    size_t float_bytes; /* 4, or 2: bf16 */
    float *stream[2];  /* two streams: a sample's rows of both while it runs */
    size_t text_rows;  /* with the box */
    size_t lent_dims;  /* keys and values that later blocks read, floats a token */
    cq_block *unit;    /* copies of the blocks of the unit, whose linears are replaced one by one */
    size_t first, count;
    cq_block *whole;     /* with desc->correct: copies of the unit's blocks with the weights as they were */
    float *would, *turned, *mismatch; /* (seq_len, cols) what the group would read; (cols, 64); (cols, cols) */
    float *gemm;                      /* scratch of cq_gemm */
    struct cq__collector *batch; /* Hessians on their way, at most one an expert and the shared one */
    size_t batch_count;
    struct cq__seen *seen;       /* (experts + 1) of this block, the shared one last */
    uint8_t *rows;               /* (experts + 1) for the tap */
    size_t peak, done, total;
} cq__quantize_run;

/* What an expert sees of the calibration text. */
typedef struct cq__seen {
    uint64_t tokens;
    double weight;
} cq__seen;

typedef struct cq__collector { /* a Hessian on its way */
    cq_hessian h;
    size_t expert; /* whose: a number, CQ_SHARED, CQ_ALL */
    bool starved;  /* of every row; in group 0: for all routed experts that are starved */
} cq__collector;

static void cq__calibrate_tap(void *user, const cq_tap_point *p) {
    cq__quantize_run *q = (cq__quantize_run *)user;
    cq__collector *c = q->batch;
    while (c < q->batch + q->batch_count && c->expert != p->expert) c++;
    if (c == q->batch + q->batch_count) return;
    for (size_t r0 = 0, n; r0 < p->rows; r0 += n) {
        float weight[64]; /* to the power that is asked for */
        n = cq__min(64, p->rows - r0);
        for (size_t r = 0; r < n && p->weight; r++) {
            float w = p->weight[r0 + r];
            w = w < 0.0f ? -w : w;
            if (q->desc->routing == CQ_ROUTING_PLAIN && w > 0.0f && w < CQ__INFINITY) w = 1.0f; /* NaN stays */
            weight[r] = q->desc->routing == CQ_ROUTING_SQUARE ? w * w : w;
        }
        cq_hessian_add(q->ctx, &c->h, p->x + r0 * p->ldx, p->ldx, n, p->weight ? weight : NULL);
        if (!q->mismatch) continue;
        size_t cols = c->h.cols; /* sum of (x' - x) x^T */
        for (size_t k = 0; k < cols; k++)
            for (size_t r = 0; r < n; r++)
                q->turned[k * 64 + r] = q->would[(p->first_row + r0 + r) * cols + k] - p->x[(r0 + r) * p->ldx + k];
        cq_gemm(q->ctx, q->mismatch, cols, q->turned, 64, p->x + r0 * p->ldx, p->ldx, cols, n, cols,
                q->gemm);
    }
}
static void cq__would_tap(void *user, const cq_tap_point *p) {
    cq__quantize_run *q = (cq__quantize_run *)user;
    size_t cols = q->batch[0].h.cols;
    for (size_t r = 0; r < p->rows; r++)
        cq__copy(q->would + (p->first_row + r) * cols, p->x + r * p->ldx, cols * sizeof(float));
}
static size_t cq__seat(const cq_block *b, size_t expert) { return expert < b->experts ? expert : b->experts; }
static void cq__count_tap(void *user, const cq_tap_point *p) {
    cq__quantize_run *q = (cq__quantize_run *)user;
    cq__seen *seen = &q->seen[cq__seat(p->block, p->expert)];
    for (size_t r = 0; r < p->rows; r++) {
        double w = p->weight ? (double)p->weight[r] : 1.0;
        seen->tokens += !(w == 0.0);
        seen->weight += w;
    }
}

/* Memory of one step is given back by setting `used` back; the dry run remembers the peak. */
static void cq__release(cq__quantize_run *q, size_t mark) {
    if (q->arena->used > q->peak) q->peak = q->arena->used;
    if (!q->arena->failed) q->arena->used = mark;
}
static bool cq__tick(cq__quantize_run *q, size_t work) {
    q->done += work;
    return !q->desc->progress || q->desc->progress(q->desc->user, q->done, q->total);
}

/* ---- activations between blocks ----
   Sample after sample: its tokens' rows, its text's, and the keys and values that are lent. In native floats, or bf16:
   the upper halves, rounded, are packed and unpacked in the place where the floats stand. */
enum { CQ__KEPT_TOKENS, CQ__KEPT_TEXT, CQ__KEPT_LENT, CQ__KEPT_WHOLE };
static uint64_t cq__act_place(const cq__quantize_run *q, size_t sample, int part, size_t first) {
    size_t at = first;
    for (int i = 0; i < part; i++) at += q->unit_floats[i];
    return ((uint64_t)sample * q->sample_floats + at) * q->float_bytes;
}
static void cq__narrow(float *x, size_t n) {
    unsigned char *to = (unsigned char *)x;
    for (size_t i = 0; i < n; i++) {
        uint16_t h = cq_f32_to_bf16(x[i]); /* bytes 4i .. 4i + 3 are read before 2i, 2i + 1 are written */
        cq__copy(to + 2 * i, &h, 2);
    }
}
static void cq__widen(float *x, size_t n) { /* bf16 stand in the second half */
    const unsigned char *from = (const unsigned char *)x + 2 * n;
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        cq__copy(&h, from + 2 * i, 2);
        x[i] = cq_bf16_to_f32(h);
    }
}
static cq_status cq__fetch(cq__quantize_run *q, size_t sample, int part, size_t first, float *x, size_t n) {
    uint64_t at = cq__act_place(q, sample, part, first);
    size_t bytes = n * q->float_bytes;
    unsigned char *to = (unsigned char *)x + (n * sizeof(float) - bytes);
    if (q->acts) cq__copy(to, q->acts + at, bytes);
    else if (!q->desc->load(q->desc->user, at, to, bytes))
        return cq_fail(q->err, CQ_ERR_IO, "activations cannot be read back");
    if (q->float_bytes == 2) cq__widen(x, n);
    return CQ_OK;
}
/* x is not needed afterwards */
static cq_status cq__keep(cq__quantize_run *q, size_t sample, int part, size_t first, float *x, size_t n) {
    uint64_t at = cq__act_place(q, sample, part, first);
    size_t bytes = n * q->float_bytes;
    if (q->float_bytes == 2) cq__narrow(x, n);
    if (q->acts) cq__copy(q->acts + at, x, bytes);
    else if (!q->desc->save(q->desc->user, at, x, bytes))
        return cq_fail(q->err, CQ_ERR_IO, "activations cannot be written");
    return CQ_OK;
}

/* One sample of a model with two streams through the unit: each block works on its own stream. */
static cq_status cq__run_streams(cq__quantize_run *q, size_t sample, const cq_tap *tap) {
    size_t hidden = q->m->hidden, n[2];
    cq_status st;
    n[0] = q->desc->seq_len;
    n[1] = q->text_rows;
    for (int t = 0; t < 2; t++)
        if ((st = cq__fetch(q, sample, t, 0, q->stream[t], n[t] * hidden)) != CQ_OK) return st;
    for (size_t k = 0; k < q->count; k++) {
        int t = q->unit[k].text ? 1 : 0;
        cq_input in;
        cq__fill(&in, 0, sizeof in);
        in.n = n[t];
        in.text = t != 0;
        in.text_rows = n[1];
        in.slot = t ? 0 : n[1];
        cq_prepare(&q->s, &in);
        cq__copy(q->s.x, q->stream[t], n[t] * hidden * sizeof(float));
        cq_run_block(&q->s, &q->unit[k], &in, tap);
        if (tap && tap->block == &q->unit[k]) return CQ_OK;
        cq__copy(q->stream[t], q->s.x, n[t] * hidden * sizeof(float));
    }
    for (int t = 0; !tap && t < 2; t++)
        if ((st = cq__keep(q, sample, t, 0, q->stream[t], n[t] * hidden)) != CQ_OK) return st;
    return CQ_OK;
}

static size_t cq__cache_dims(const cq_block *b) {
    return b->kind > CQ_BLOCK_MLA ? 0 : b->kv_heads * (b->head_dim + b->v_dim);
}
/* floats for each token that the first n blocks lend */
static size_t cq__lent(const cq_model *m, size_t n) {
    size_t dims = 0;
    for (size_t i = 0; i < n; i++) dims += m->blocks[i].lends ? cq__cache_dims(&m->blocks[i]) : 0;
    return dims;
}
/* What the unit's blocks lend goes from the cache to where it is kept (keep), or what they are lent into the cache. */
static cq_status cq__lend(cq__quantize_run *q, size_t sample, bool keep) {
    cq_status st = CQ_OK;
    for (size_t k = 0; !st && k < q->count; k++) {
        const cq_block *b = &q->m->blocks[q->first + k];
        size_t n = cq__cache_dims(b) * q->desc->seq_len, first;
        float *cache = (float *)(void *)q->s.cache + q->unit[k].cache_k * q->s.desc.max_tokens; /* CQ_F32 */
        if (keep ? !b->lends : !b->lender) continue;
        first = cq__lent(q->m, keep ? q->first + k : b->lender - 1) * q->desc->seq_len;
        st = keep ? cq__keep(q, sample, CQ__KEPT_LENT, first, cache, n)
                  : cq__fetch(q, sample, CQ__KEPT_LENT, first, cache, n);
    }
    return st;
}

/* One sample through the unit, up to where the tap stops; without one the stream is put back at the end. */
static cq_status cq__run_sample(cq__quantize_run *q, size_t sample, cq_input *in, const cq_tap *tap) {
    size_t row = q->m->hidden * q->desc->seq_len;
    bool side = false;
    cq_status st;
    if (q->m->two_streams) return cq__run_streams(q, sample, tap);
    for (size_t k = 0; k < q->count; k++) side = side || q->unit[k].side;
    in->ids = q->desc->ids + sample * q->desc->seq_len;
    if (side) cq_embed(&q->s, in); /* the side rows again: of all samples they would be too many to keep */
    if (q->whole && (!tap || q->mismatch)) { /* the same up to here with the weights as they were */
        cq_tap would;
        cq__fill(&would, 0, sizeof would);
        would.fn = cq__would_tap;
        would.user = q;
        if (tap) would.block = q->whole + (tap->block - q->unit);
        if (tap) would.stop = tap->stop;
        if ((st = cq__fetch(q, sample, CQ__KEPT_WHOLE, 0, q->s.x, row)) != CQ_OK) return st;
        for (size_t k = 0; k < q->count; k++) {
            cq_run_block(&q->s, &q->whole[k], in, tap ? &would : NULL);
            if (tap && would.block == &q->whole[k]) break;
        }
        if (!tap && (st = cq__keep(q, sample, CQ__KEPT_WHOLE, 0, q->s.x, row)) != CQ_OK) return st;
    }
    if ((st = cq__fetch(q, sample, CQ__KEPT_TOKENS, 0, q->s.x, row)) != CQ_OK) return st;
    if ((st = cq__lend(q, sample, false)) != CQ_OK) return st;
    for (size_t k = 0; k < q->count; k++) {
        cq_run_block(&q->s, &q->unit[k], in, tap);
        if (tap && tap->block == &q->unit[k]) break;
    }
    if (tap) return CQ_OK;
    if ((st = cq__keep(q, sample, CQ__KEPT_TOKENS, 0, q->s.x, row)) != CQ_OK) return st;
    return cq__lend(q, sample, true);
}
static cq_status cq__run_samples(cq__quantize_run *q, const cq_tap *tap, size_t work) {
    cq_status st;
    cq_input in;
    cq__fill(&in, 0, sizeof in);
    in.n = q->desc->seq_len;
    if (!q->m->two_streams) cq_prepare(&q->s, &in);
    for (size_t i = 0; i < q->desc->samples; i++) {
        if ((st = cq__run_sample(q, i, &in, tap)) != CQ_OK) return st;
        if (!cq__tick(q, work)) return cq_fail(q->err, CQ_ERR_CANCELLED, "cancelled");
    }
    return CQ_OK;
}

/* ---- how much work there is, in millions of operations or so ---- */
static size_t cq__work_unit(double operations) { return 1 + (size_t)(operations / 1e6); }
/* does linear l of a block with experts belong to this one (CQ_SHARED: to none)? Without: CQ_ALL has all */
static bool cq__belongs(const cq_block *b, const cq_linear *l, size_t expert) {
    if (b->kind != CQ_BLOCK_MOE) return true;
    return cq__is_expert(l->role) ? l->expert == expert : expert == CQ_SHARED;
}
static size_t cq__items(const cq_block *b) { return b->kind == CQ_BLOCK_MOE ? b->experts + 1 : 1; }
static size_t cq__item(const cq_block *b, size_t i) { /* the shared one first */
    return b->kind != CQ_BLOCK_MOE ? CQ_ALL : i ? i - 1 : CQ_SHARED;
}
static const cq_linear *cq__first_of(const cq_block *b, size_t group, size_t expert) {
    for (size_t i = 0; i < b->linears; i++)
        if (cq__in_group(b, &b->lin[i], group) && cq__belongs(b, &b->lin[i], expert)) return &b->lin[i];
    return NULL;
}
static double cq__share(const cq_block *b, const cq_linear *l) { /* of the rows that a linear sees */
    return b->kind == CQ_BLOCK_MOE && cq__is_expert(l->role) ? (double)b->top_k / (double)b->experts : 1.0;
}
static size_t cq__run_work(const cq__quantize_run *q, const cq_block *b, size_t n) { /* of a sample through n blocks */
    double sum = 0.0;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < b[k].linears; i++)
            sum += cq__share(&b[k], &b[k].lin[i]) * (double)b[k].lin[i].w.rows * (double)b[k].lin[i].w.cols;
    return cq__work_unit(2.0 * sum * (double)q->desc->seq_len);
}
static size_t cq__hessian_work(const cq__quantize_run *q, const cq_block *b, const cq_linear *first) {
    return cq__work_unit(cq__share(b, first) * (double)q->desc->seq_len * (double)first->w.cols *
                         (double)first->w.cols);
}
static size_t cq__linear_work(const cq__quantize_run *q, const cq_linear *l, bool first) {
    double rows = (double)l->w.rows, cols = (double)l->w.cols;
    if (q->desc->rtn) return cq__work_unit(8.0 * rows * cols);
    return cq__work_unit(8.0 * rows * cols * cols + (first ? cols * cols * cols : 0.0));
}

/* the solver knows rows and columns, not names */
static cq_status cq__quantize_fail(cq__quantize_run *q, const cq_block *b, const cq_linear *l, cq_status st) {
    if (q->err) {
        q->err->name = q->name;
        q->err->name_len = cq_module_name(q->m, b, l, q->name, q->name_size);
    }
    return st;
}

/* |W - Q|^2 / |W|^2: the loss when nothing is known of the inputs */
static double cq__weight_loss(const cq_gptq_desc *desc, const cq_gptq_result *q, const float *w, size_t rows,
                              size_t cols) {
    double error = 0.0, norm = 0.0;
    size_t groups = cq_gptq_groups(desc, cols), size = cq__group_size(desc, cols);
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < cols; k++) {
            double v = (double)w[r * cols + k];
            double e = v - (double)cq_grid_value(q->grids[r * groups + k / size], q->codes[r * cols + k]);
            error += e * e;
            norm += v * v;
        }
    return norm > 0.0 ? error / norm : 0.0;
}

/* A linear's weights (and bias) as float, rotated; in place of its own. */
static cq_status cq__own_weights(cq__quantize_run *q, const cq_block *source, cq_linear *l, const cq_linear *from,
                                 float **values) {
    cq_part part;
    cq_status st;
    bool dry = !q->arena->base;
    for (int bias = 0; bias < 2; bias++) {
        float *v;
        if (bias && !from->bias) break;
        cq__fill(&part, 0, sizeof part);
        cq__part_linear(q->m, source, from, bias != 0, &part);
        part.block = source;
        v = (float *)cq_alloc(q->arena, part.rows, part.cols * sizeof(float));
        if (!bias) *values = v;
        if (q->arena->failed) return cq_fail(q->err, CQ_ERR_MEMORY, "arena too small for the weights of a block");
        if (dry) continue;
        st = cq_part_read(q->ctx, q->m, q->desc->plan, &part, 0, part.rows, v, q->err);
        if (st) return st;
        cq__floats_to_le(v, part.rows * part.cols);
        if (bias) {
            l->bias = (const unsigned char *)v;
        } else {
            st = cq_tensor_init(&l->w, CQ_F32, CQ_ROWS, part.rows, part.cols, 0, false, q->err);
            if (st) return st;
            l->w.data = (const unsigned char *)v;
        }
    }
    return CQ_OK;
}

/* What stands in a linear's place when it is quantised: packed weights, or floats where panels cannot hold them. Memory
   for all linears of the unit is set aside first, so that what a single group needs can be given back after it. */
typedef struct cq__stand_in {
    unsigned char *packed;
    float *kept;
} cq__stand_in;
static cq_status cq__stand_in_alloc(cq__quantize_run *q, const cq_block *source, const cq_linear *from,
                                    cq_gptq_desc *desc, bool *skip, cq_tensor *t, cq__stand_in *slot) {
    cq_policy_choice wish;
    size_t rows = from->w.rows, cols = from->w.cols, len;
    cq_status st;
    cq__fill(&wish, 0, sizeof wish);
    wish.gptq = q->gptq;
    len = cq_module_name(q->m, source, from, q->name, q->name_size);
    if (q->desc->policy) cq_policy_resolve(q->desc->policy, q->name, len, &wish);
    *skip = wish.skip;
    if ((st = cq_gptq_resolve(desc, &wish.gptq, cols, q->err)) != CQ_OK) return cq__quantize_fail(q, source, from, st);
    desc->group_size = wish.gptq.group_size; /* "whole row" stays 0 */
    if ((st = cq_tensor_init(t, CQ_F32, CQ_ROWS, rows, cols, 0, false, q->err)) != CQ_OK) return st;
    if (*skip) return CQ_OK;
    if (desc->order != CQ_GPTQ_ACT_GROUPS && (desc->group_size % 16 == 0 || desc->group_size >= cols)) {
        st = cq_tensor_init(t, desc->format, CQ_PANELS, rows, cols,
                            desc->group_size >= cols ? 0 : desc->group_size, desc->asym, q->err);
        if (st) return cq__quantize_fail(q, source, from, st);
        t->act_bits = (uint8_t)wish.act_bits;
        if (slot && !slot->packed) slot->packed = (unsigned char *)cq_alloc(q->arena, t->bytes, 1);
    } else if (slot && !slot->kept) {
        slot->kept = (float *)cq_alloc(q->arena, rows, cols * sizeof(float));
    }
    return q->arena->failed ? cq_fail(q->err, CQ_ERR_MEMORY, "arena too small for the weights of a block") : CQ_OK;
}

/* A linear is handed out, and its new weights take its place. */
static cq_status cq__hand_out(cq__quantize_run *q, cq_module *module, const cq_gptq_result *result, bool skip,
                              float *values, cq__stand_in *slot, cq_linear *to, size_t work) {
    size_t rows = module->linear->w.rows, cols = module->linear->w.cols, groups = cq_gptq_groups(module->desc, cols);
    module->values = values;
    if (!skip) {
        cq_gptq_dequantize(module->desc, result, rows, cols, values);
        module->codes = result->codes;
        module->grids = result->grids;
        module->g_idx = result->g_idx;
    }
    for (size_t p = 0; slot->packed && p < cq_panel_count(&module->tensor); p++)
        cq_pack_panel(&module->tensor, slot->packed, p, result->codes + p * CQ__ROWS * cols, cols,
                      result->grids + p * CQ__ROWS * groups, groups);
    module->tensor.data = slot->packed;
    if (!q->desc->emit(q->desc->user, module)) return cq_fail(q->err, CQ_ERR_IO, "the output failed");
    if (!cq__tick(q, work)) return cq_fail(q->err, CQ_ERR_CANCELLED, "cancelled");
    if (to && slot->packed) {
        to->w = module->tensor;
    } else if (to && slot->kept) {
        cq__copy(slot->kept, values, rows * cols * sizeof(float));
        cq__floats_to_le(slot->kept, rows * cols);
        (void)cq_tensor_init(&to->w, CQ_F32, CQ_ROWS, rows, cols, 0, false, NULL);
        to->w.data = (const unsigned char *)slot->kept;
    }
    return CQ_OK;
}

/* Room for one linear's codes, grids and values. */
static cq_status cq__result_alloc(cq__quantize_run *q, const cq_gptq_desc *desc, size_t rows, size_t cols,
                                  cq_gptq_result *result, float **values) {
    *values = (float *)cq_alloc(q->arena, rows, cols * sizeof(float));
    result->codes = (uint8_t *)cq_alloc(q->arena, rows, cols);
    result->grids = (cq_grid *)cq_alloc(q->arena, rows, cq_gptq_groups(desc, cols) * sizeof(cq_grid));
    result->g_idx =
        desc->order == CQ_GPTQ_ACT_GROUPS ? (uint32_t *)cq_alloc(q->arena, cols, sizeof(uint32_t)) : NULL;
    result->report = NULL;
    return q->arena->failed ? cq_fail(q->err, CQ_ERR_MEMORY, "arena too small to quantise a linear") : CQ_OK;
}

/* One linear: solved (factor NULL: rounded to nearest), handed out, and put in its place. */
static cq_status cq__quantize_linear(cq__quantize_run *q, const cq_block *source, const cq_linear *from, cq_linear *to,
                                     cq__stand_in *slot, const cq_factor *factor, const cq__seen *seen, bool starved,
                                     size_t work) {
    cq_gptq_desc desc;
    cq_gptq_result result;
    cq_module module;
    size_t rows = from->w.rows, cols = from->w.cols, mark = q->arena->used, solving;
    float *values;
    bool dry = !q->arena->base, skip;
    cq_status st;
    cq__fill(&module, 0, sizeof module);
    module.block = source;
    module.linear = from;
    module.desc = &desc;
    module.tokens = seen ? seen->tokens : 0;
    module.weight = seen ? seen->weight : 0.0;
    module.starved = starved;
    module.nearest = !factor;
    if ((st = cq__stand_in_alloc(q, source, from, &desc, &skip, &module.tensor, slot)) != CQ_OK) return st;
    if ((st = cq__result_alloc(q, &desc, rows, cols, &result, &values)) != CQ_OK) return st;
    if (factor) result.report = &module.report;
    solving = q->arena->used;
    for (size_t r = 0; !dry && r < rows; r++) cq_tensor_row(&to->w, r, values + r * cols);
    if (factor && !skip && q->desc->correct > 0.0f && (dry || q->mismatch)) {
        st = cq_gptq_correct(q->ctx, factor, q->mismatch, q->desc->correct, values, cols, rows, q->arena, q->err);
        if (st) return cq__quantize_fail(q, source, from, st);
        cq__release(q, solving);
    }
    if (factor && !skip) {
        st = cq_gptq_solve(q->ctx, &desc, factor, values, cols, rows, &result, q->arena, q->err);
        if (st) return cq__quantize_fail(q, source, from, st);
    } else if (!dry && !skip) {
        st = cq_gptq_rtn(&desc, values, cols, rows, cols, &result, q->err);
        if (st) return cq__quantize_fail(q, source, from, st);
        module.report.loss = module.report.rtn_loss = cq__weight_loss(&desc, &result, values, rows, cols);
    }
    if (!dry && (st = cq__hand_out(q, &module, &result, skip, values, slot, to, work)) != CQ_OK) return st;
    cq__release(q, mark);
    return CQ_OK;
}

/* The linears of one expert (or the shared one, or CQ_ALL) in a group of block k of the unit. */
static cq_status cq__quantize_members(cq__quantize_run *q, size_t k, size_t group, size_t expert, cq__stand_in *slots,
                                      const cq_factor *factor, const cq__seen *seen, bool starved) {
    const cq_block *source = &q->m->blocks[q->first + k];
    bool dry = !q->arena->base, first = cq__calibrated(source, group) == source;
    cq_status st;
    for (size_t i = 0; i < source->linears; i++) {
        const cq_linear *l = &source->lin[i];
        cq__stand_in none;
        float *values;
        size_t own = q->arena->used, work;
        none.packed = NULL;
        none.kept = NULL;
        if (!cq__in_group(source, l, group) || !cq__belongs(source, l, expert)) continue;
        work = cq__linear_work(q, l, first);
        first = false;
        cq_linear *to = dry ? NULL : &q->unit[k].lin[i];
        if (q->desc->rtn && q->desc->plan) { /* nothing runs, one linear at a time is enough */
            st = cq__own_weights(q, source, to, l, &values);
            if (st) return st;
        }
        st = cq__quantize_linear(q, source, l, to, q->desc->rtn ? &none : dry ? NULL : &slots[i], factor, seen,
                                 starved, work);
        if (st) return st;
        if (q->desc->rtn) cq__release(q, own);
    }
    return CQ_OK;
}

/* Memory of a collector; SIZE_MAX: too much for this machine. */
static size_t cq__collector_bytes(size_t cols) {
    cq_arena dry = cq_arena_over(NULL, 0);
    cq_hessian h;
    cq_hessian_alloc(&h, &dry, cols);
    return dry.failed ? SIZE_MAX - CQ_ALIGN : (dry.used + CQ_ALIGN - 1) / CQ_ALIGN * CQ_ALIGN;
}
static bool cq__collector_open(cq__quantize_run *q, cq_arena *pool, size_t expert, size_t cols, bool starved) {
    cq__collector *c = &q->batch[q->batch_count];
    if (pool->size - pool->used < cq__collector_bytes(cols)) return false;
    cq_hessian_alloc(&c->h, pool, cols);
    c->expert = expert;
    c->starved = starved;
    q->batch_count++;
    return true;
}

/* Room for the Hessians of one run: all of the group if they fit into hessian_bytes, else those that do. */
static size_t cq__pool_bytes(const cq__quantize_run *q, const cq_block *b, size_t group, size_t *runs) {
    size_t total = 0, largest = 0, budget = q->desc->hessian_bytes ? q->desc->hessian_bytes : (size_t)256 << 20;
    size_t used = 0;
    *runs = 0;
    for (size_t i = 0; i < cq__items(b); i++) {
        const cq_linear *first = cq__first_of(b, group, cq__item(b, i));
        size_t bytes = first ? cq__collector_bytes(first->w.cols) : 0;
        if (!first) continue;
        largest = cq__larger(largest, bytes);
        if (!cq__add(total, bytes, &total)) total = SIZE_MAX - CQ_ALIGN;
    }
    budget = cq__min(total, cq__larger(largest, budget));
    for (size_t i = 0; i < cq__items(b); i++) {
        const cq_linear *first = cq__first_of(b, group, cq__item(b, i));
        size_t bytes = first ? cq__collector_bytes(first->w.cols) : 0;
        if (!first) continue;
        if (!*runs || budget - used < bytes) {
            ++*runs;
            used = 0;
        }
        used += bytes;
    }
    return budget;
}

/* all of one group */
static size_t cq__group_work(const cq__quantize_run *q, const cq_block *b, size_t group) {
    size_t runs, hessians = 0, linears = 0;
    bool own = cq__calibrated(b, group) == b;
    (void)cq__pool_bytes(q, b, group, &runs);
    for (size_t i = 0; i < cq__items(b); i++) {
        const cq_linear *first = cq__first_of(b, group, cq__item(b, i));
        if (first) hessians += cq__hessian_work(q, b, first);
        for (size_t j = 0; first && j < b->linears; j++)
            if (cq__in_group(b, &b->lin[j], group) && cq__belongs(b, &b->lin[j], cq__item(b, i)))
                linears += cq__linear_work(q, &b->lin[j], own && &b->lin[j] == first);
    }
    if (q->desc->rtn || !runs || !own) return linears;
    return linears + q->desc->samples * runs * (cq__run_work(q, b, 1) + hessians / runs);
}

/* When do an expert's own rows say less than all rows do? Measured on two trained models (Qwen2-MoE and OLMoE, 16 experts
   of which 4, hidden 128, inner 32; int4; KL on held-out text): the Hessian of all rows instead of one's own changes it,
   for gate and up, by -5 % with as many rows as columns, by -1 % with twice and by +2 % with four times as many; for
   down, whose inputs are large in few rows, by -10 %, -5 % and -1 % with 4, 8 and 16 times as many, but there each expert
   has to be run on every row; with 32 times as many of both by +3 %. To nearest instead, more than half of the gain is
   lost. (The power of the weight, 0, 1 or 2, made no difference beyond the noise of 2 %.) */
#define CQ__ENOUGH_IN 2u
#define CQ__ENOUGH_DOWN 8u
static bool cq__is_starved(const cq__quantize_run *q, const cq_block *b, size_t group, size_t expert) {
    const cq_linear *first = cq__first_of(b, group, expert);
    size_t least = q->desc->min_tokens;
    if (!least && first) least = (group ? CQ__ENOUGH_DOWN : CQ__ENOUGH_IN) * first->w.cols;
    return b->kind == CQ_BLOCK_MOE && q->seen[cq__seat(b, expert)].tokens < least;
}

/* Those blocks of the unit after k that block k's Hessian serves too */
static cq_status cq__quantize_others(cq__quantize_run *q, size_t k, size_t group, cq__stand_in *const *slots,
                                     const cq_factor *factor, const cq__seen *seen) {
    const cq_block *source = &q->m->blocks[q->first + k];
    cq_status st = CQ_OK;
    for (size_t o = k + 1; st == CQ_OK && o < q->count; o++)
        if (cq__calibrated(&q->m->blocks[q->first + o], group) == source)
            st = cq__quantize_members(q, o, group, CQ_ALL, slots[o], factor, seen, false);
    return st;
}

/* The Hessians of a batch are complete: each is factored and its linears are solved. */
static cq_status cq__quantize_batch(cq__quantize_run *q, size_t k, size_t group, cq__stand_in *const *slots) {
    const cq_block *source = &q->m->blocks[q->first + k];
    cq_status st;
    for (cq__collector *c = q->batch; c < q->batch + q->batch_count; c++) {
        bool joint = c->starved && group == 0 && c->expert < source->experts;
        size_t mark = q->arena->used, last = joint ? source->experts - 1 : c->expert;
        const cq_linear *first = cq__first_of(source, group, c->expert);
        cq_factor factor;
        cq__seen all;
        cq_hessian_finish(q->ctx, &c->h);
        all.tokens = c->h.tokens;
        all.weight = (double)c->h.tokens;
        st = cq_gptq_factor(q->ctx, &factor, &c->h, &q->gptq, q->arena, q->err);
        if (st) return cq__quantize_fail(q, source, first, st);
        for (size_t e = c->expert;; e++) {
            const cq__seen *seen = source->kind == CQ_BLOCK_MOE ? &q->seen[cq__seat(source, e)] : &all;
            bool mine = !joint || cq__is_starved(q, source, group, e);
            st = mine ? cq__quantize_members(q, k, group, e, slots[k], &factor, seen, c->starved) : CQ_OK;
            if (st) return st;
            if (e == last) break;
        }
        if ((st = cq__quantize_others(q, k, group, slots, &factor, &all)) != CQ_OK) return st;
        cq__release(q, mark);
    }
    return CQ_OK;
}

/* All linears of a group of block k of the unit: those that read one input share a Hessian and its factor, also with the
   blocks beside it that read the same. */
static cq_status cq__quantize_group(cq__quantize_run *q, size_t k, size_t group, cq__stand_in *const *slots) {
    const cq_block *source = &q->m->blocks[q->first + k];
    bool dry = !q->arena->base, joint = false;
    size_t mark = q->arena->used, runs, pool_bytes, work = cq__run_work(q, source, 1), hessians = 0, end, items;
    unsigned char *memory;
    cq_arena pool;
    cq_status st;
    items = cq__items(source);
    if (q->desc->rtn) {
        for (size_t i = 0; i < items; i++) {
            st = cq__quantize_members(q, k, group, cq__item(source, i), slots[k], NULL, NULL, false);
            if (st) return st;
        }
        return CQ_OK;
    }
    if (cq__calibrated(source, group) != source) return CQ_OK; /* done with that block */
    q->mismatch = NULL;
    if (q->desc->correct > 0.0f && items == 1) {
        const cq_linear *first = cq__first_of(source, group, CQ_ALL);
        size_t cols = first ? first->w.cols : 0;
        q->would = (float *)cq_alloc(q->arena, q->desc->seq_len, cols * sizeof(float));
        q->turned = (float *)cq_alloc(q->arena, cols, 64 * sizeof(float));
        q->gemm = (float *)cq_alloc(q->arena, cq_gemm_scratch(cols, 64, cols), sizeof(float));
        q->mismatch = (float *)cq_alloc(q->arena, cols, cols * sizeof(float));
    }
    pool_bytes = cq__pool_bytes(q, source, group, &runs);
    memory = (unsigned char *)cq_alloc(q->arena, pool_bytes, 1);
    if (q->arena->failed) return cq_fail(q->err, CQ_ERR_MEMORY, "arena too small for a Hessian");
    if (dry) {
        for (size_t i = 0; i < items; i++) {
            const cq_linear *first = cq__first_of(source, group, cq__item(source, i));
            size_t own = q->arena->used;
            cq_hessian h;
            cq_factor factor;
            if (!first) continue;
            cq__fill(&h, 0, sizeof h);
            h.cols = first->w.cols;
            st = cq_gptq_factor(q->ctx, &factor, &h, &q->gptq, q->arena, q->err);
            if (st) return cq__quantize_fail(q, source, first, st);
            st = cq__quantize_members(q, k, group, cq__item(source, i), slots[k], &factor, NULL, false);
            if (st) return st;
            if ((st = cq__quantize_others(q, k, group, slots, &factor, NULL)) != CQ_OK) return st;
            cq__release(q, own);
        }
        cq__release(q, mark);
        return CQ_OK;
    }
    end = q->done + cq__group_work(q, source, group);
    for (size_t o = k + 1; o < q->count; o++)
        if (cq__calibrated(source + (o - k), group) == source) end += cq__group_work(q, source + (o - k), group);
    for (size_t i = 0; i < items; i++) {
        const cq_linear *first = cq__first_of(source, group, cq__item(source, i));
        if (first) hessians += cq__hessian_work(q, source, first);
    }
    for (size_t i = 0; i < items;) {
        cq_tap tap;
        pool = cq_arena_over(memory, pool_bytes);
        q->batch_count = 0;
        cq__fill(q->rows, 0, source->experts + 1);
        for (; i < items; i++) {
            size_t expert = cq__item(source, i);
            bool starved = cq__is_starved(q, source, group, expert);
            bool shares = starved && group == 0 && expert != CQ_SHARED;
            const cq_linear *first = cq__first_of(source, group, expert);
            if (!first || (shares && joint)) continue;
            if (starved && q->desc->starved == CQ_STARVED_RTN) {
                st = cq__quantize_members(q, k, group, expert, slots[k], NULL, &q->seen[cq__seat(source, expert)],
                                          true);
                if (st) return st;
                continue;
            }
            if (!cq__collector_open(q, &pool, expert, first->w.cols, starved)) break;
            joint = joint || shares;
            q->rows[cq__seat(source, expert)] = starved ? CQ_TAP_EVERY : CQ_TAP_ROUTED;
        }
        if (!q->batch_count) break;
        tap.fn = cq__calibrate_tap;
        tap.user = q;
        tap.block = &q->unit[k];
        tap.stop = group;
        tap.experts = source->kind == CQ_BLOCK_MOE ? q->rows : NULL;
        if ((st = cq__run_samples(q, &tap, work + hessians / runs)) != CQ_OK) return st;
        if ((st = cq__quantize_batch(q, k, group, slots)) != CQ_OK) return st;
    }
    q->mismatch = NULL;
    q->done = cq__larger(q->done, end); /* experts that share a Hessian, or need none, are less work than was planned */
    cq__release(q, mark);
    return CQ_OK;
}

/* What the experts of block k of the unit will see: the router is not quantised, so that it is known beforehand. */
static cq_status cq__count_experts(cq__quantize_run *q, size_t k) {
    cq_tap tap;
    if (!q->arena->base || q->desc->rtn || q->unit[k].kind != CQ_BLOCK_MOE) return CQ_OK;
    cq__fill(q->seen, 0, (q->unit[k].experts + 1) * sizeof *q->seen);
    tap.fn = cq__count_tap;
    tap.user = q;
    tap.block = &q->unit[k];
    tap.stop = 0;
    tap.experts = NULL;
    return cq__run_samples(q, &tap, 1);
}

/* Copies of the unit's blocks, with caches that begin at 0; with room for what replaces their linears. */
static cq_status cq__unit_copy(cq__quantize_run *q, cq__stand_in **slots) {
    const cq_rotate_plan *plan = q->desc->plan;
    bool dry = !q->arena->base;
    size_t cache = 0, state = 0;
    cq_status st;
    q->unit = (cq_block *)cq_alloc(q->arena, q->count, sizeof(cq_block));
    for (size_t k = 0; k < q->count; k++) {
        const cq_block *source = &q->m->blocks[q->first + k];
        cq_linear *lin = (cq_linear *)cq_alloc(q->arena, source->linears, sizeof(cq_linear));
        slots[k] = (cq__stand_in *)cq_alloc(q->arena, source->linears, sizeof(cq__stand_in));
        if (q->arena->failed) return cq_fail(q->err, CQ_ERR_MEMORY, "arena too small for the weights of a block");
        if (!dry) {
            cq_block *b = &q->unit[k];
            cq__copy(b, source, sizeof *b);
            cq__copy(lin, source->lin, source->linears * sizeof *lin);
            cq__fill(slots[k], 0, source->linears * sizeof(cq__stand_in));
            b->lin = lin;
            if (b->kind <= CQ_BLOCK_MLA && k && b->cache_k == q->m->blocks[q->first + k - 1].cache_k &&
                q->unit[k - 1].text) { /* the tokens of a layer see the cache of its text */
                b->cache_k = q->unit[k - 1].cache_k;
                b->cache_v = q->unit[k - 1].cache_v;
            } else if (b->kind <= CQ_BLOCK_MLA) {
                b->cache_k = cache;
                b->cache_v = cache + b->kv_heads * b->head_dim;
                cache = b->cache_v + b->kv_heads * b->v_dim;
            }
            b->state = state;
            state += b->state_size;
            if (cq__online(plan, source)) b->online = &cq__online(plan, source)->h;
        }
        for (size_t i = 0; i < CQ_NORM_COUNT; i++) {
            const cq_norm *norm = &source->norm[i];
            bool folded;
            const cq_rotate_stream *r1 = cq__norm_r1(q->m, plan, source, norm, &folded);
            if (!r1 || !norm->on) continue;
            if (!dry && folded) q->unit[k].norm[i].gain = NULL;
            if (!norm->bias) continue;
            float *v = (float *)cq_alloc(q->arena, q->m->hidden, sizeof(float));
            if (q->arena->failed) return cq_fail(q->err, CQ_ERR_MEMORY, "arena too small for the weights of a block");
            if (dry) continue;
            st = cq__turn_norm_bias(q->ctx, plan, r1, norm, folded, cq__nums_of(v, NULL), q->m->hidden);
            if (st) return cq_fail(q->err, st, "a rotation does not fit a norm's bias");
            cq__floats_to_le(v, q->m->hidden);
            q->unit[k].norm[i].bias = (const unsigned char *)v;
        }
        for (size_t i = 0; !q->desc->rtn && i < source->linears; i++) {
            cq_gptq_desc desc;
            cq_tensor t;
            float *values;
            bool skip;
            cq__stand_in counted, *slot = dry ? &counted : &slots[k][i];
            counted.packed = NULL;
            counted.kept = NULL;
            if (plan && (st = cq__own_weights(q, source, dry ? NULL : &lin[i], &source->lin[i], &values)) != CQ_OK)
                return st;
            if (source->lin[i].keep) continue;
            if ((st = cq__stand_in_alloc(q, source, &source->lin[i], &desc, &skip, &t, slot)) != CQ_OK) return st;
        }
    }
    return CQ_OK;
}

#define CQ__MAX_UNIT CQ_MAX_BLOCKS /* a unit is a layer at most */
static cq_status cq__quantize_unit(cq__quantize_run *q) {
    size_t mark = q->arena->used;
    cq__stand_in *slots[CQ__MAX_UNIT];
    cq_status st;
    if ((st = cq__unit_copy(q, slots)) != CQ_OK) return st;
    q->whole = NULL;
    if (q->desc->correct > 0.0f) {
        q->whole = (cq_block *)cq_alloc(q->arena, q->count, sizeof(cq_block));
        for (size_t k = 0; k < q->count; k++) {
            size_t linears = q->m->blocks[q->first + k].linears;
            cq_linear *lin = (cq_linear *)cq_alloc(q->arena, linears, sizeof(cq_linear));
            if (!q->arena->base || q->arena->failed) continue;
            cq__copy(&q->whole[k], &q->unit[k], sizeof *q->whole);
            cq__copy(lin, q->unit[k].lin, linears * sizeof *lin);
            q->whole[k].lin = lin;
        }
        if (q->arena->failed) return cq_fail(q->err, CQ_ERR_MEMORY, "arena too small for the blocks as they were");
    }
    size_t layer = q->first, group;
    const cq_block *b;
    bool counted[CQ__MAX_UNIT] = {false};
    while (layer && cq__same_layer(q->m, layer, layer - 1)) layer--; /* a unit is a layer, or a part of it */
    for (size_t i = 0; cq_layer_group(q->m, layer, i, &b, &group); i++) {
        size_t k = (size_t)(b - q->m->blocks) - q->first; /* huge if the block is before the unit */
        if (k >= q->count) continue;
        if (!counted[k] && (st = cq__count_experts(q, k)) != CQ_OK) return st;
        counted[k] = true;
        if ((st = cq__quantize_group(q, k, group, slots)) != CQ_OK) return st;
    }
    if (!q->desc->rtn && q->arena->base) {
        st = cq__run_samples(q, NULL, cq__run_work(q, &q->m->blocks[q->first], q->count));
        if (st) return st;
    }
    cq__release(q, mark);
    return CQ_OK;
}

CQUANT_DEF size_t cq_quantize_unit(const cq_model *m, size_t i) {
    size_t n = 1;
    if (i >= m->block_count) return 0;
    bool late = m->blocks[i].late, streams = false; /* a layer with text blocks is one unit */
    for (size_t k = i; cq__same_layer(m, i, k); k++) streams = streams || m->blocks[k].text;
    while (i + n < m->block_count && n < CQ__MAX_UNIT &&
           (m->blocks[i + n].beside || late || (streams && cq__same_layer(m, i, i + n)))) {
        late = (late || m->blocks[i + n].late) && !m->blocks[i + n].adds_late;
        n++;
    }
    return n;
}

/* The rows in the session as they begin, turned with R1 of their stream */
static cq_status cq__turn_stream(cq__quantize_run *q, size_t stream, size_t rows) {
    const cq_rotate_plan *plan = q->desc->plan;
    cq_status st = CQ_OK;
    if (plan && plan->r1[stream].on)
        st = cq__turn_rows(q->ctx, &plan->r1[stream], cq__nums_of(q->s.x, NULL), rows, q->m->hidden, plan->scratch);
    return st ? cq_fail(q->err, st, "a rotation does not fit the stream") : CQ_OK;
}

static size_t cq__quantize_work(const cq__quantize_run *q) {
    const cq_model *m = q->m;
    size_t samples = q->desc->rtn ? 0 : q->desc->samples, n = samples;
    for (size_t i = 0, step; i < m->block_count; i += step) {
        step = cq_quantize_unit(m, i);
        n += samples ? samples * cq__run_work(q, &m->blocks[i], step) : 0;
        for (size_t k = i; k < i + step; k++) {
            for (size_t group = 0; group < CQ__NO_GROUP; group++) n += cq__group_work(q, &m->blocks[k], group);
            if (m->blocks[k].kind == CQ_BLOCK_MOE) n += samples;
        }
    }
    return n;
}

/* ---- going on after a checkpoint ---- */
/* Codes, grids and groups from outside: are they such as the solver makes? */
static bool cq__result_fits(const cq_gptq_desc *desc, const cq_gptq_result *r, size_t rows, size_t cols) {
    size_t groups = cq_gptq_groups(desc, cols);
    bool number[256]; /* by code: is there one, and is it finite? */
    cq_grid one = cq_grid_make(1.0f, 0.0f, desc->format);
    for (unsigned c = 0; c < 256; c++)
        number[c] = !(c >> cq_format_bits(desc->format)) && cq__finite(cq_grid_value(one, (uint8_t)c));
    for (size_t i = 0; i < rows * cols; i++)
        if (!number[r->codes[i]]) return false;
    for (size_t i = 0; i < rows * groups; i++) { /* scale and zero are as they would be stored */
        cq_grid was = r->grids[i], is = cq_grid_make(was.scale, (float)was.zero, desc->format);
        if (!(is.scale >= was.scale && is.scale <= was.scale) || is.zero != was.zero || was.format != desc->format)
            return false;
    }
    for (size_t i = 0; r->g_idx && i < cols; i++)
        if (r->g_idx[i] >= groups) return false;
    return true;
}
static cq_status cq__restore_linear(cq__quantize_run *q, size_t index, const cq_block *source, const cq_linear *from) {
    cq_gptq_desc desc;
    cq_gptq_result result;
    cq_module module;
    cq_part part;
    cq__stand_in slot;
    size_t rows = from->w.rows, cols = from->w.cols, mark = q->arena->used;
    float *values;
    bool skip;
    cq_status st;
    cq__fill(&module, 0, sizeof module);
    slot.packed = NULL;
    slot.kept = NULL;
    module.block = source;
    module.linear = from;
    module.desc = &desc;
    if ((st = cq__stand_in_alloc(q, source, from, &desc, &skip, &module.tensor, &slot)) != CQ_OK) return st;
    if ((st = cq__result_alloc(q, &desc, rows, cols, &result, &values)) != CQ_OK) return st;
    if (skip) {
        cq__fill(&part, 0, sizeof part);
        cq__part_linear(q->m, source, from, false, &part);
        part.block = source;
        st = cq_part_read(q->ctx, q->m, q->desc->plan, &part, 0, rows, values, q->err);
        if (st) return st;
        result.codes = NULL;
        result.grids = NULL;
        result.g_idx = NULL;
    }
    if (!q->desc->restore(q->desc->user, index, &module, &result))
        return cq__quantize_fail(q, source, from,
                                 cq_fail(q->err, CQ_ERR_IO, "what was finished before cannot be read back"));
    if (!skip && !cq__result_fits(&desc, &result, rows, cols))
        return cq__quantize_fail(q, source, from, cq_fail(q->err, CQ_ERR_FORMAT, "what is restored does not fit here"));
    slot.kept = NULL;
    st = cq__hand_out(q, &module, &result, skip, values, &slot, NULL, 0);
    cq__release(q, mark);
    return st;
}
/* Emits what was finished before, and finds the place where to go on. */
static cq_status cq__restore(cq__quantize_run *q) {
    const cq_quantize_desc *desc = q->desc;
    size_t begin = 0;
    cq_status st;
    if (!desc->rtn) q->done = desc->samples;
    while (begin < desc->next && begin < q->m->block_count) {
        size_t n = cq_quantize_unit(q->m, begin);
        for (size_t k = begin; k < begin + n; k++)
            for (size_t group = 0; group < CQ__NO_GROUP; group++)
                q->done += cq__group_work(q, &q->m->blocks[k], group);
        begin += n;
    }
    if (begin != desc->next) return cq_fail(q->err, CQ_ERR_FORMAT, "no layer begins where it should go on");
    if (!desc->restore || (q->acts && !desc->restore_acts))
        return cq_fail(q->err, CQ_ERR_ARG, "going on needs restore and restore_acts");
    for (size_t i = 0; i < desc->finished_count; i++) {
        const cq_finished *f = &desc->finished[i];
        const cq_block *b = f->block < desc->next ? &q->m->blocks[f->block] : NULL;
        if (!b || f->linear >= b->linears || b->lin[f->linear].keep)
            return cq_fail_at(q->err, CQ_ERR_FORMAT, "what was finished before is not of this model", NULL, 0, i,
                              (int64_t)f->block);
        if ((st = cq__restore_linear(q, i, b, &b->lin[f->linear])) != CQ_OK) return st;
    }
    if (q->acts && !desc->restore_acts(desc->user, q->acts))
        return cq_fail(q->err, CQ_ERR_IO, "activations cannot be read back");
    return CQ_OK;
}

/* What a sample's activations are made of. */
static cq_status cq__acts_layout(cq__quantize_run *q, const cq_model *m, const cq_quantize_desc *desc, cq_error *err) {
    size_t n;
    q->m = m;
    q->desc = desc;
    q->float_bytes = desc->low_memory ? 2 : sizeof(float);
    q->lent_dims = cq__lent(m, m->block_count);
    q->text_rows = m->two_streams ? desc->text_rows + (m->input[1].w.rows ? 1 : 0) : 0;
    if (cq__mul(desc->seq_len, m->hidden, &q->unit_floats[0]) &&
        cq__mul(q->text_rows, m->hidden, &q->unit_floats[1]) &&
        cq__mul(desc->seq_len, q->lent_dims, &q->unit_floats[2]) &&
        cq__mul(desc->correct > 0.0f ? desc->seq_len : 0, m->hidden, &q->unit_floats[3]) &&
        cq__add(q->unit_floats[0], q->unit_floats[1], &n) && cq__add(n, q->unit_floats[2], &n) &&
        cq__add(n, q->unit_floats[3], &q->sample_floats) &&
        cq__mul(q->sample_floats, desc->samples, &n) && cq__mul(n, sizeof(float), &n))
        return CQ_OK;
    return cq_fail(err, CQ_ERR_RANGE, "too many calibration tokens");
}
CQUANT_DEF size_t cq_quantize_acts_bytes(const cq_model *m, const cq_quantize_desc *desc) {
    cq__quantize_run q;
    cq__fill(&q, 0, sizeof q);
    if (desc->rtn) return 0;
    return cq__acts_layout(&q, m, desc, NULL) ? SIZE_MAX : desc->samples * q.sample_floats * q.float_bytes;
}

/* The activations as they begin: embedded, and turned. */
static cq_status cq__embed_samples(cq__quantize_run *q) {
    const cq_model *m = q->m;
    const cq_quantize_desc *desc = q->desc;
    cq_status st;
    for (size_t i = 0; i < desc->samples; i++) {
        cq_input in;
        cq__fill(&in, 0, sizeof in);
        if (m->two_streams) {
            cq__embed_text(&q->s, desc->text + i * desc->text_rows * m->input[0].w.cols, desc->text_rows,
                           desc->boxes ? desc->boxes + i * m->input[1].w.cols : NULL);
            if ((st = cq__turn_stream(q, 1, q->text_rows)) != CQ_OK) return st;
            if ((st = cq__keep(q, i, CQ__KEPT_TEXT, 0, q->s.x, q->text_rows * m->hidden)) != CQ_OK) return st;
        }
        in.ids = desc->ids + i * desc->seq_len;
        in.n = desc->seq_len;
        cq_embed(&q->s, &in);
        if ((st = cq__turn_stream(q, 0, in.n)) != CQ_OK) return st;
        if (desc->correct > 0.0f) { /* keeping may spoil it */
            if ((st = cq__keep(q, i, CQ__KEPT_WHOLE, 0, q->s.x, in.n * m->hidden)) != CQ_OK) return st;
            if ((st = cq__fetch(q, i, CQ__KEPT_WHOLE, 0, q->s.x, in.n * m->hidden)) != CQ_OK) return st;
        }
        if ((st = cq__keep(q, i, CQ__KEPT_TOKENS, 0, q->s.x, in.n * m->hidden)) != CQ_OK) return st;
        if (!cq__tick(q, 1)) return cq_fail(q->err, CQ_ERR_CANCELLED, "cancelled");
    }
    return CQ_OK;
}

CQUANT_DEF cq_status cq_quantize_model(const cq_context *ctx, cq_model *m, const cq_quantize_desc *desc,
                                       cq_arena *arena, cq_error *err) {
    cq__quantize_run q;
    cq_session_desc sd;
    bool dry = !arena->base, acts = false;
    size_t tokens = 0, cache = 0, state = 0, experts = 0;
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
    if ((unsigned)desc->routing > CQ_ROUTING_SQUARE || (unsigned)desc->starved > CQ_STARVED_RTN ||
        !desc->load != !desc->save)
        return cq_fail(err, CQ_ERR_ARG, "an option of quantising has no such value");
    if (desc->correct != 0.0f && !(desc->correct > 0.0f && desc->correct <= 1.0f && !desc->rtn))
        return cq_fail(err, CQ_ERR_ARG, "correct: a share above 0 and at most 1, and not when rounding to nearest");
    if (desc->correct > 0.0f && (m->two_streams || cq__lent(m, m->block_count)))
        return cq_fail(err, CQ_ERR_UNSUPPORTED, "correcting inputs is not there for two streams, or layers that lend");
    if ((st = cq_gptq_resolve(&q.gptq, &desc->gptq, m->hidden, err)) != CQ_OK) return st;
    q.gptq.group_size = desc->gptq.group_size; /* "whole row" is resolved for each linear */
    if (!desc->rtn) {
        if (!desc->samples || !desc->seq_len || (!desc->ids && !dry))
            return cq_fail(err, CQ_ERR_ARG, "calibration needs at least one sample of at least one token");
        if (!cq__mul(desc->samples, desc->seq_len, &tokens))
            return cq_fail(err, CQ_ERR_RANGE, "too many calibration tokens");
        if ((st = cq__acts_layout(&q, m, desc, err)) != CQ_OK) return st;
        for (size_t i = 0, step; i < m->block_count; i += step) { /* a cache for one unit is enough */
            size_t c = 0, s = 0;
            step = cq_quantize_unit(m, i);
            for (size_t k = i; k < i + step; k++) {
                c += cq__cache_dims(&m->blocks[k]);
                s += m->blocks[k].state_size;
                experts = cq__larger(experts, m->blocks[k].experts);
            }
            cache = cq__larger(cache, c);
            state = cq__larger(state, s);
        }
        cq__fill(&sd, 0, sizeof sd);
        if (m->two_streams && (!desc->text_rows || (!dry && !desc->text) ||
                               (!dry && m->input[1].w.rows && !desc->boxes)))
            return cq_fail(err, CQ_ERR_ARG, "a model with two streams is calibrated with text (and boxes) too");
        if (!cq__add(desc->seq_len, q.text_rows, &sd.max_tokens))
            return cq_fail(err, CQ_ERR_RANGE, "too many calibration tokens");
        sd.max_rows = cq__larger(desc->seq_len, q.text_rows);
        for (size_t i = 0; desc->policy && i < desc->policy->count; i++)
            acts = acts || desc->policy->rules[i].act_bits;
        if ((st = cq__session_layout(&q.s, ctx, m, &sd, cache, state, acts, arena, arena, err)) != CQ_OK) return st;
        if (desc->plan && desc->plan->onlines) { /* then the model has none of its own */
            size_t bytes = 0;
            for (size_t i = 0; i < desc->plan->onlines; i++)
                bytes = cq__larger(bytes, cq_hadamard_scratch(&desc->plan->online[i].h));
            cq__online_alloc(&q.s, bytes, arena);
        }
        if (!desc->load)
            q.acts = (unsigned char *)cq_alloc(arena, desc->samples * q.sample_floats, q.float_bytes);
        for (size_t t = 0; m->two_streams && t < 2; t++)
            q.stream[t] = (float *)cq_alloc(arena, q.unit_floats[t], sizeof(float));
        q.batch = (cq__collector *)cq_alloc(arena, experts + 1, sizeof *q.batch);
        q.seen = (cq__seen *)cq_alloc(arena, experts + 1, sizeof *q.seen);
        q.rows = (uint8_t *)cq_alloc(arena, experts + 1, 1);
        if (arena->failed) return cq_fail(err, CQ_ERR_MEMORY, "arena too small for the calibration activations");
    }
    q.total = cq__quantize_work(&q);
    for (size_t t = 0; !desc->rtn && !dry && t < tokens; t++)
        if (!cq__known(m, desc->ids[t]))
            return cq_fail_at(err, CQ_ERR_RANGE, "a calibration id is outside the vocabulary", NULL, 0, t,
                              desc->ids[t]);
    if (m->position.rows && !desc->rtn && desc->seq_len + m->position_offset > m->position.rows)
        return cq_fail_at(err, CQ_ERR_RANGE, "a calibration sample is longer than the learned positions", NULL, 0,
                          UINT64_MAX, (int64_t)desc->seq_len);
    if (!dry && desc->next) {
        if ((st = cq__restore(&q)) != CQ_OK) return st;
    } else if (!dry) {
        if (!desc->rtn && (st = cq__embed_samples(&q)) != CQ_OK) return st;
        if (desc->checkpoint && !desc->checkpoint(desc->user, 0, q.acts))
            return cq_fail(err, CQ_ERR_IO, "the checkpoint failed");
    }
    for (q.first = dry ? 0 : desc->next; q.first < m->block_count; q.first += q.count) {
        q.count = cq_quantize_unit(m, q.first);
        if ((st = cq__quantize_unit(&q)) != CQ_OK) return st;
        if (!dry && desc->checkpoint && !cq__same_layer(m, q.first + q.count - 1, q.first + q.count) &&
            !desc->checkpoint(desc->user, q.first + q.count, q.acts))
            return cq_fail(err, CQ_ERR_IO, "the checkpoint failed");
    }
    if (dry && q.peak > arena->used) arena->used = q.peak;
    return CQ_OK;
}

#ifdef __cplusplus
}
#endif

CQ__EXACT_END
#endif /* CQUANT_IMPLEMENTATION */
