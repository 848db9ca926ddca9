/* Declarations first, as when another header pulled them in; then the implementation; then once more. */
#include CQUANT_HEADER
#define CQUANT_IMPLEMENTATION
#include CQUANT_HEADER
#include CQUANT_HEADER
