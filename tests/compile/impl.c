/* The implementation alone: the first and only include, as in a project that keeps it in a file of its own. */
#define CQUANT_IMPLEMENTATION
#include CQUANT_HEADER
