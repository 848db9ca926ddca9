/* Models that are linked into a program (tests/checksum.c), where there are no files. */
#ifndef CQUANT_TESTS_MODELS_H
#define CQUANT_TESTS_MODELS_H
#include <stddef.h>

typedef struct cq_linked_model {
    const char *name;          /* NULL ends the list */
    const unsigned char *data; /* a .cq file, aligned to 64 */
    size_t size;
} cq_linked_model;
extern const cq_linked_model cq_models[];
#endif
