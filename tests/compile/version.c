/* Preprocessed only: the version that the headers carry. */
#include CQUANT_HEADER
version CQUANT_VERSION CQUANT_VERSION_NUM
