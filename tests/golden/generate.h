/* Prompts and what they become, one row for each run of a model in this directory.
   Written by tests/reference/make_goldens.py; do not edit. In no row is a decision closer than 0.001 (logit of the
   token chosen against the next), 0.001 (confidence of the last position filled against the next, or against the
   threshold or p) or 0.0001 (the edge of top_p or top_k): correct code has no ties to break. */
#ifndef GOLDEN_GENERATE_H
#define GOLDEN_GENERATE_H

#include <stddef.h>
#include <stdint.h>

typedef struct golden_generate {
    const char *model, *name;
    const char *alg; /* "origin", "maskgit_plus", "topk_margin", "entropy"; "greedy": causal; "threshold" */
    int rows, prompt_len, new_tokens, steps;
    int block_length;            /* 0: no cache */
    int dual;                    /* with a cache: 1 = dual, 0 = prefix */
    int top_k;                   /* 0: off */
    float eps, top_p, threshold; /* top_p, threshold 0: off */
    float margin;                /* the closest decision of the run: how much error its ids can bear */
    const int32_t *prompt;       /* (rows, prompt_len), mask ids included */
    const uint8_t *mask;         /* (rows, prompt_len), 0 = left padding; NULL: none */
    const float *u;              /* origin with steps > 1: (steps, prompt_len + new_tokens), fill where u < p */
    const int32_t *ids;          /* (rows, prompt_len + new_tokens) */
} golden_generate;

static const int32_t golden_prompt_0[] = {47, 61, 93, 7, 64, 26, 3, 6};
static const int32_t golden_ids_0[] = {47, 61, 93, 7, 64, 26, 3, 6, 69, 12, 12, 12, 12, 12, 12, 12, 12, 37, 37, 12};
static const int32_t golden_prompt_1[] = {82, 72, 71, 19, 93, 33, 74, 88};
static const int32_t golden_ids_1[] = {82, 72, 71, 19, 93, 33, 74, 88, 78, 46, 24, 24, 56, 61, 37, 12, 74, 50, 89, 12};
static const int32_t golden_prompt_2[] = {71, 76, 69, 6, 44, 89, 48, 80};
static const int32_t golden_ids_2[] = {71, 76, 69, 6, 44, 89, 48, 80, 78, 37, 37, 46, 37, 37, 37, 37, 37, 46, 37, 37};
static const int32_t golden_prompt_3[] = {80, 67, 68, 94, 33, 32, 78, 13};
static const int32_t golden_ids_3[] = {80, 67, 68, 94, 33, 32, 78, 13, 0, 74, 74, 74, 78, 46};
static const int32_t golden_prompt_4[] = {28, 92, 60, 79, 8, 85, 4, 50};
static const int32_t golden_ids_4[] = {28, 92, 60, 79, 8, 85, 4, 50, 26, 37, 37, 35, 37, 37, 37, 37, 37, 78, 37, 37};
static const int32_t golden_prompt_5[] = {27, 75, 68, 20, 31, 16, 54, 72};
static const int32_t golden_ids_5[] = {27, 75, 68, 20, 31, 16, 54, 72, 37, 11, 27, 46, 87, 45, 8, 24, 46, 12, 12, 11};
static const int32_t golden_prompt_6[] = {59, 77, 78, 2, 58, 53, 45, 2};
static const int32_t golden_ids_6[] = {59, 77, 78, 2, 58, 53, 45, 2, 78, 12, 61, 66, 3, 61, 27, 78, 12, 61, 66, 3};
static const int32_t golden_prompt_7[] = {95, 22, 35, 72, 59, 46, 37, 83};
static const int32_t golden_ids_7[] = {95, 22, 35, 72, 59, 46, 37, 83, 37, 47, 66, 3, 84, 84, 12, 66};
static const int32_t golden_prompt_8[] = {22, 53, 50, 81, 38, 82, 71, 49};
static const int32_t golden_ids_8[] = {22, 53, 50, 81, 38, 82, 71, 49, 8, 87, 37, 78, 37, 65, 37, 78, 83, 37, 37, 63};
static const int32_t golden_prompt_9[] = {84, 10, 3, 65, 78, 40, 72, 34};
static const int32_t golden_ids_9[] = {84, 10, 3, 65, 78, 40, 72, 34, 78, 73, 32, 78, 18, 32, 37, 27};
static const int32_t golden_prompt_10[] = {9, 71, 47, 22, 29, 26, 70, 82};
static const int32_t golden_ids_10[] = {9, 71, 47, 22, 29, 26, 70, 82, 36, 24, 24, 24, 58, 46, 58, 46};
static const int32_t golden_prompt_11[] = {76, 49, 74, 28, 60, 57, 71, 42};
static const int32_t golden_ids_11[] = {76, 49, 74, 28, 60, 57, 71, 42, 36, 12, 46, 14};
static const int32_t golden_prompt_12[] = {19, 90, 90, 13, 11, 25, 68, 19};
static const int32_t golden_ids_12[] = {19, 15, 65, 13, 11, 25, 68, 19, 86};
static const int32_t golden_prompt_13[] = {89, 89, 89, 19, 42, 43, 75, 67};
static const uint8_t golden_mask_13[] = {0, 0, 0, 1, 1, 1, 1, 1};
static const int32_t golden_ids_13[] = {89, 89, 89, 19, 42, 43, 75, 67, 68, 56, 37, 73, 37, 37, 78, 37};
static const int32_t golden_prompt_14[] = {78, 73, 10, 94, 67, 24, 14, 16, 89, 89, 89, 89, 89, 2, 72, 64};
static const uint8_t golden_mask_14[] = {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1};
static const int32_t golden_ids_14[] = {78, 73, 10, 94, 67, 24, 14, 16, 45, 1, 68, 68, 56, 68, 56, 37, 89, 89, 89,
    89, 89, 2, 72, 64, 38, 89, 37, 37, 37, 12, 66, 14};
static const int32_t golden_prompt_15[] = {34, 86, 15, 24, 22, 2, 35, 25};
static const int32_t golden_ids_15[] = {34, 86, 15, 24, 22, 2, 35, 25, 82, 37, 14, 57, 41, 78, 12, 12, 12, 61, 54,
    58, 78, 14, 87, 37};
static const int32_t golden_prompt_16[] = {10, 88, 38, 52, 4, 48, 69, 21};
static const int32_t golden_ids_16[] = {10, 88, 38, 52, 4, 48, 69, 21, 78, 81, 32, 78, 12, 65, 27, 12, 65, 95, 93, 41};
static const int32_t golden_prompt_17[] = {74, 52, 41, 52, 29, 43, 70, 76};
static const int32_t golden_ids_17[] = {74, 52, 41, 52, 29, 43, 70, 76, 66, 37, 89, 89, 89, 89, 12, 89, 73, 8, 92,
    19, 19, 56, 8, 62};
static const int32_t golden_prompt_18[] = {63, 72, 28, 3, 6, 3, 76, 3};
static const int32_t golden_ids_18[] = {63, 72, 28, 3, 6, 3, 76, 3, 46, 78, 46, 37, 37, 37, 1, 37, 1, 24, 24, 56, 15,
    69, 37, 24};
static const int32_t golden_prompt_19[] = {52, 71, 60, 5, 95, 75, 52, 36};
static const float golden_u_19[] = {0.774604142f, 0.855811834f, 0.681170166f, 0.211028352f, 0.669069529f,
    0.392294884f, 0.985504627f, 0.793622196f, 0.283759415f, 0.572523057f, 0.665402591f, 0.612918437f, 0.895054281f,
    0.0769008324f, 0.893378854f, 0.650683641f, 0.437569529f, 0.274016619f, 0.974833488f, 0.33843717f, 0.0175649896f,
    0.72331953f, 0.864656091f, 0.923540056f, 0.214529485f, 0.751285076f, 0.460895717f, 0.458139181f, 0.493699253f,
    0.04093647f, 0.948137105f, 0.695584774f, 0.994097352f, 0.566209316f, 0.542496324f, 0.527952194f, 0.47267893f,
    0.322430044f, 0.876739025f, 0.0327102803f, 0.904350042f, 0.652448177f, 0.266544461f, 0.985446393f, 0.370441705f,
    0.881363153f, 0.459457368f, 0.67885381f, 0.750834167f, 0.209333241f, 0.588303387f, 0.771895111f, 0.140132174f,
    0.320693702f, 0.888817191f, 0.106566422f, 0.990763187f, 0.422251374f, 0.829105556f, 0.319470644f, 0.00140602328f,
    0.999613822f, 0.562128603f, 0.674641371f, 0.187481165f, 0.376462102f, 0.143096298f, 0.804691613f, 0.151920632f,
    0.658623457f, 0.508389294f, 0.675770819f, 0.225117564f, 0.896908402f, 0.741175294f, 0.457501709f, 0.476536244f,
    0.297278285f, 0.242995277f, 0.175980613f};
static const int32_t golden_ids_19[] = {52, 71, 60, 5, 95, 75, 52, 36, 12, 27, 78, 27, 27, 12, 66, 27, 78, 27, 78, 93};
static const int32_t golden_prompt_20[] = {23, 73, 96, 32, 68, 91, 99, 79};
static const int32_t golden_ids_20[] = {23, 73, 96, 32, 68, 91, 99, 79, 52, 52, 98, 82, 82, 82, 82, 82, 82, 82, 82, 82};
static const int32_t golden_prompt_21[] = {87, 16, 80, 27, 28, 2, 81, 22};
static const int32_t golden_ids_21[] = {87, 16, 80, 27, 28, 2, 81, 22, 60, 59, 20, 26, 63, 19, 60, 85, 84, 21, 14, 17};
static const int32_t golden_prompt_22[] = {16, 59, 15, 81, 41, 38, 89, 80};
static const int32_t golden_ids_22[] = {16, 59, 15, 81, 41, 38, 89, 80, 93, 11, 12, 13, 93, 30, 80, 93, 30, 90, 53, 69};
static const int32_t golden_prompt_23[] = {86, 93, 16, 41, 24, 66, 78, 17};
static const int32_t golden_ids_23[] = {86, 93, 16, 41, 24, 66, 78, 17, 31, 56, 25, 81, 30, 30, 65, 67, 65, 74, 0, 10};

static const golden_generate golden_generations[] = {
    {"dream", "origin-1", "origin", 1, 8, 12, 1, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.0306634903f,
     golden_prompt_0, NULL, NULL, golden_ids_0},
    {"dream", "maskgit", "maskgit_plus", 1, 8, 12, 5, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.00695317984f,
     golden_prompt_1, NULL, NULL, golden_ids_1},
    {"dream", "maskgit-1", "maskgit_plus", 1, 8, 12, 1, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.240437984f,
     golden_prompt_2, NULL, NULL, golden_ids_2},
    {"dream", "maskgit-more-steps", "maskgit_plus", 1, 8, 6, 11, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.0843387544f,
     golden_prompt_3, NULL, NULL, golden_ids_3},
    {"dream", "maskgit-eps", "maskgit_plus", 1, 8, 12, 4, 0, 0, 0, 0.1f, 0.0f, 0.0f, 0.0349419117f,
     golden_prompt_4, NULL, NULL, golden_ids_4},
    {"dream", "maskgit-top-k", "maskgit_plus", 1, 8, 12, 5, 0, 0, 5, 0.001f, 0.0f, 0.0f, 0.00131189823f,
     golden_prompt_5, NULL, NULL, golden_ids_5},
    {"dream", "margin", "topk_margin", 1, 8, 12, 5, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.0513806343f,
     golden_prompt_6, NULL, NULL, golden_ids_6},
    {"dream", "margin-filters", "topk_margin", 1, 8, 8, 4, 0, 0, 7, 0.001f, 0.8f, 0.0f, 0.000579297543f,
     golden_prompt_7, NULL, NULL, golden_ids_7},
    {"dream", "entropy", "entropy", 1, 8, 12, 5, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.014146328f,
     golden_prompt_8, NULL, NULL, golden_ids_8},
    {"dream", "entropy-steps-new", "entropy", 1, 8, 8, 8, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.0389516354f,
     golden_prompt_9, NULL, NULL, golden_ids_9},
    {"dream", "entropy-top-p", "entropy", 1, 8, 8, 4, 0, 0, 0, 0.001f, 0.9f, 0.0f, 0.000373959541f,
     golden_prompt_10, NULL, NULL, golden_ids_10},
    {"dream", "infill", "entropy", 1, 8, 4, 6, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.0730485916f,
     golden_prompt_11, NULL, NULL, golden_ids_11},
    {"dream", "infill-inside", "topk_margin", 1, 8, 1, 3, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.0482200086f,
     golden_prompt_12, NULL, NULL, golden_ids_12},
    {"dream", "padding", "maskgit_plus", 1, 8, 8, 4, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.0137678385f,
     golden_prompt_13, golden_mask_13, NULL, golden_ids_13},
    {"dream", "padding-batch", "entropy", 2, 8, 8, 4, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.0230867863f,
     golden_prompt_14, golden_mask_14, NULL, golden_ids_14},
    {"dream", "prefix", "entropy", 1, 8, 16, 8, 8, 0, 0, 0.001f, 0.0f, 0.0f, 0.0458812714f,
     golden_prompt_15, NULL, NULL, golden_ids_15},
    {"dream", "dual", "entropy", 1, 8, 12, 9, 4, 1, 0, 0.001f, 0.0f, 0.0f, 0.0703735352f,
     golden_prompt_16, NULL, NULL, golden_ids_16},
    {"dream", "prefix-threshold", "threshold", 1, 8, 16, 2, 8, 0, 0, 0.001f, 0.0f, 0.3f, 0.00972878933f,
     golden_prompt_17, NULL, NULL, golden_ids_17},
    {"dream", "dual-threshold", "threshold", 1, 8, 16, 2, 8, 1, 0, 0.001f, 0.0f, 0.3f, 0.0181441605f,
     golden_prompt_18, NULL, NULL, golden_ids_18},
    {"dream", "origin", "origin", 1, 8, 12, 4, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.0104589164f,
     golden_prompt_19, NULL, golden_u_19, golden_ids_19},
    {"qwen2-tied", "greedy", "greedy", 1, 8, 12, 0, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.0934004784f,
     golden_prompt_20, NULL, NULL, golden_ids_20},
    {"qwen3", "greedy", "greedy", 1, 8, 12, 0, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.00169444084f,
     golden_prompt_21, NULL, NULL, golden_ids_21},
    {"llama-bias-llama3", "greedy", "greedy", 1, 8, 12, 0, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.00700712204f,
     golden_prompt_22, NULL, NULL, golden_ids_22},
    {"mistral", "greedy", "greedy", 1, 8, 12, 0, 0, 0, 0, 0.001f, 0.0f, 0.0f, 0.014308691f,
     golden_prompt_23, NULL, NULL, golden_ids_23},
};
static const size_t golden_generation_count =
    sizeof golden_generations / sizeof golden_generations[0];

#endif
