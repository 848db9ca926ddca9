/* cquant.c - the command line: which command, which options, and help

   What a command accepts is in its table (tool_command in the cmd_*.c files). Whatever is not there, lacks its value or
   has a bad one is wrong usage: one line, exit 2, and nothing has been done. */
#include "tool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const tool_command *const commands[] = {
    &cmd_models,   &cmd_inspect, &cmd_logits, &cmd_eval,     &cmd_rotate,   &cmd_matrix, &cmd_quantize,
    &cmd_solve,    &cmd_export,  &cmd_generate, &cmd_tokenize, &cmd_plot,
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static const tool_option common[] = {
    {"json", NULL, 0, 0, "one JSON object on stdout, and nothing else there"},
    {"quiet", NULL, 0, 0, "nothing on stderr but the line of an error"},
    {"threads", "N", 1, 1024, "threads (all cores)"},
    {"seed", "N", 0, 0, "for everything random (0)"},
    {"isa", "scalar|v128|sse41|avx2|avxvnni|avx512|avx512vnni|amx|neon|dotprod|i8mm|rvv|dsp|mve|wasm", 0, 0,
     "which kernels (the best here)"},
    {"force", NULL, 0, 0, "replace an output directory that exists"},
    {"help", NULL, 0, 0, "this text"},
    {NULL, NULL, 0, 0, NULL},
};

tool_settings tool;

#define MAX_GIVEN 128
static struct {
    const tool_option *option;
    const char *value;
} given[MAX_GIVEN];
static size_t given_count;

/* ===================================================================================================================
   [VALUES]
   ================================================================================================================== */
static const tool_option *find(const char *name, size_t len) {
    const tool_option *tables[] = {tool.command ? tool.command->options : NULL, common};
    for (size_t i = 0; i < 2; i++)
        for (const tool_option *o = tables[i]; o && o->name; o++)
            if (strlen(o->name) == len && !strncmp(o->name, name, len)) return o;
    return NULL;
}

static const char *value_of(const char *name) {
    if (!find(name, strlen(name))) tool_fail(NULL, "a mistake in cquant itself: option '%s' is in no table", name);
    for (size_t i = given_count; i > 0; i--)
        if (!strcmp(given[i - 1].option->name, name)) return given[i - 1].value ? given[i - 1].value : "";
    return NULL;
}

bool tool_has(const char *name) { return value_of(name) != NULL; }
const char *tool_text(const char *name, const char *otherwise) {
    const char *value = value_of(name);
    return value ? value : otherwise;
}
int64_t tool_int(const char *name, int64_t otherwise) {
    const char *value = value_of(name);
    return value ? strtoll(value, NULL, 10) : otherwise;
}
size_t tool_size(const char *name, size_t otherwise) {
    const char *value = value_of(name);
    return value ? (size_t)strtoull(value, NULL, 10) : otherwise;
}
double tool_real(const char *name, double otherwise) {
    const char *value = value_of(name);
    return value ? strtod(value, NULL) : otherwise;
}
const char *tool_need(const char *name) {
    const char *value = value_of(name);
    if (!value)
        tool_usage("%s: %s%s is needed; see `cquant %s --help`", tool.command->name, name[1] ? "--" : "-", name,
                   tool.command->name);
    return value;
}

static bool one_of(const char *words, const char *value) {
    size_t n = strlen(value);
    for (const char *p = words; n; p++) {
        const char *end = p + strcspn(p, "|");
        if ((size_t)(end - p) == n && !strncmp(p, value, n)) return true;
        p = end;
        if (!*p) break;
    }
    return false;
}

/* Exit 2 unless the value is what the table says. */
static void check(const tool_option *o, const char *value) {
    const char *dashes = o->name[1] ? "--" : "-";
    char *end;
    errno = 0;
    if (!strcmp(o->value, "N") || !strcmp(o->value, "X")) {
        bool whole = *o->value == 'N', bounded = o->min != 0 || o->max != 0;
        double v = 0;
        if (whole && !bounded) { /* the full range of a 64-bit number: seeds */
            v = (double)strtoull(value, &end, 10);
            if (strchr(value, '-')) errno = ERANGE;
        } else if (whole) {
            v = (double)strtoll(value, &end, 10);
        } else {
            v = strtod(value, &end);
        }
        bool number = end != value && !*end && !strchr(" \t\n\v\f\r", *value) && v - v == 0;
        if (!number || errno == ERANGE || (bounded && !(v >= o->min && v <= o->max))) {
            if (bounded)
                tool_usage("%s%s: '%s' must be a %snumber from %.10g to %.10g", dashes, o->name, value,
                           whole ? "whole " : "", o->min, o->max);
            tool_usage("%s%s: '%s' must be a %s", dashes, o->name, value,
                       whole ? "whole number, 0 or above" : "number");
        }
    } else if (strchr(o->value, '|') && !one_of(o->value, value)) {
        tool_usage("%s%s: '%s' must be one of %s", dashes, o->name, value, o->value);
    } else if (!*value && strchr(o->value, '|') == NULL && strcmp(o->value, "TEXT")) {
        tool_usage("%s%s: the value is empty, and must be a %s", dashes, o->name, o->value);
    }
}

/* ===================================================================================================================
   [HELP]
   ================================================================================================================== */
static void help_options(const tool_option *o) {
    for (; o && o->name; o++) {
        char left[128];
        bool words = o->value && strchr(o->value, '|');
        snprintf(left, sizeof left, "%s%s%s%s", o->name[1] ? "--" : "-", o->name, o->value ? " " : "",
                 !o->value ? "" : words && strlen(o->value) > 20 ? "WORD" : o->value);
        printf("  %-28s %s\n", left, o->help);
        if (words && strlen(o->value) > 20) printf("  %-28s %s\n", "", o->value);
    }
}

static void help(const tool_command *c) {
    if (c) {
        printf("cquant %s %s\n%s\n\n", c->name, c->args, c->help);
        help_options(c->options);
        printf("\nWith every command:\n");
    } else {
        printf("cquant " CQUANT_VERSION ": a few bits per weight, the same bits on every machine\n\n"
               "usage: cquant COMMAND [MODEL] [OPTIONS]        cquant COMMAND --help\n\n");
        for (size_t i = 0; i < COMMANDS; i++)
            printf("  %-10s %-26s %s\n", commands[i]->name, commands[i]->args, commands[i]->help);
        printf("\nMODEL: a directory with config.json and safetensors, or a .cq file.\n\nWith every command:\n");
    }
    help_options(common);
}

/* ===================================================================================================================
   [MAIN]
   ================================================================================================================== */
static void parse(int argc, char **argv) {
    bool options = true;
    size_t wanted_help = 0;
    const char **args = (const char **)tool_alloc((size_t)argc + 1, sizeof *args);
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (options && !strcmp(a, "--")) {
            options = false;
            continue;
        }
        if (!options || a[0] != '-' || !a[1]) {
            if (tool.command) {
                args[tool.arg_count++] = a;
                continue;
            }
            for (size_t c = 0; c < COMMANDS; c++)
                if (!strcmp(a, commands[c]->name)) tool.command = commands[c];
            if (!strcmp(a, "help")) wanted_help++;
            else if (!tool.command) tool_usage("'%s' is no command; see `cquant --help`", a);
            continue;
        }
        const char *name = a + (a[1] == '-' ? 2 : 1), *equals = a[1] == '-' ? strchr(name, '=') : NULL;
        size_t len = equals ? (size_t)(equals - name) : strlen(name);
        if (a[1] == '-' && len == 6 && !strncmp(name, "output", 6)) {
            name = "o";
            len = 1;
        } else if ((a[1] == '-') != (len > 1)) {
            len = 0; /* -json, --o */
        }
        if (a[1] != '-' && a[1] == 'h' && !a[2]) {
            name = "help";
            len = 4;
        }
        const tool_option *o = len ? find(name, len) : NULL;
        if (!o && tool.command)
            tool_usage("'%s' is no option of `cquant %s`; see `cquant %s --help`", a, tool.command->name,
                       tool.command->name);
        if (!o && !strcmp(a, "--version")) {
            puts("cquant " CQUANT_VERSION);
            exit(fflush(stdout) ? 1 : 0);
        }
        if (!o) tool_usage("'%s' is no option before a command; see `cquant --help`", a);
        if (!strcmp(o->name, "help")) wanted_help++;
        if (given_count == MAX_GIVEN) tool_usage("too many options");
        given[given_count].option = o;
        given[given_count].value = NULL;
        if (o->value) {
            if (!equals && i + 1 == argc) tool_usage("%s needs a value: %s", a, o->value);
            given[given_count].value = equals ? equals + 1 : argv[++i];
            if (!wanted_help) check(o, given[given_count].value);
        } else if (equals) {
            tool_usage("--%s takes no value", o->name);
        }
        given_count++;
    }
    tool.args = args;
    if (wanted_help || (argc == 2 && !strcmp(argv[1], "help"))) {
        help(tool.command);
        exit(fflush(stdout) ? 1 : 0);
    }
    if (!tool.command) tool_usage("a command is needed; see `cquant --help`");
    if (tool.arg_count < tool.command->args_min)
        tool_usage("%s: %s is needed; see `cquant %s --help`", tool.command->name, tool.command->args,
                   tool.command->name);
    if (tool.arg_count > tool.command->args_max)
        tool_usage("%s: '%s' is one argument too many; see `cquant %s --help`", tool.command->name,
                   args[tool.command->args_max], tool.command->name);
    tool.json = tool_has("json");
    tool.quiet = tool_has("quiet");
    tool.force = tool_has("force");
    tool.threads = tool_size("threads", 0);
    tool.seed = strtoull(tool_text("seed", "0"), NULL, 10);
    tool.isa = tool_text("isa", NULL);
}

int main(int argc, char **argv) {
    parse(argc, argv);
    if (tool.isa) { /* an ISA that this machine lacks is an error even where none is used */
        cq_context ctx;
        tool_context(&ctx);
    }
    json_open(NULL, '{');
    tool.command->run();
    json_close();
    if (fflush(stdout) || ferror(stdout)) tool_fail("stdout", "cannot be written: %s", strerror(errno));
    return 0;
}
