/* cquant_impl.c - the one file of the tool that holds the implementation of the four headers */
#include "tiles.h"
#define CQUANT_IMPLEMENTATION
#include "cquant.h"
#include "cquant_rotate.h"
#include "cquant_gptq.h"
#include "cquant_models.h"
