/* Tensors for a stock Redis or Valkey: what clients of RedisAI ask of it, without its models.
 *
 * A tensor is a string of the server's own kind, so that it is saved, copied, renamed, replicated
 * and given memory like any other: a header (mark, type, rank, dimensions), then the numbers.
 * Clients that come through the Unix socket are let in by who may open it: its folder is its
 * user's alone. Those that come over the network need the password.
 *
 * Arguments: `gate PATH`, a socket at which the server's keeper says who else needs no password
 * (`gate.py`). `cluster PORT` of a server that is part of a cluster and listens there: it closes the
 * door by which servers talk among themselves, where nobody is asked who he is. `bare` leaves the
 * commands to another module.
 *
 * Without headers of the server's: a module is given a function that finds the others by name.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct Ctx Ctx;
typedef struct Key Key;
typedef struct String String;
typedef int (*Command)(Ctx *, String **, int);

typedef struct {
  uint64_t id, version;
} Event;

typedef struct {
  uint64_t version, flags, id;
  char address[46];
  uint16_t port, database;
} ClientInfo;

typedef void (*Listener)(Ctx *, Event, uint64_t, void *);

enum { OK = 0, ERROR = 1, READ = 1, WRITE = 2, EMPTY = 0, STRING = 1 };
enum { CLIENT_CHANGE = 4, CONNECTED = 0, THROUGH_SOCKET = 1 << 4 };
enum { MOST_DIMENSIONS = 64 };
enum { BUS = 10000 }; /* the bus lies so far above the server's port */

static int cluster_port = 0; /* 0: no cluster */
static char gate[108] = "";  /* where to ask who needs no password; nowhere: nobody else */

static int (*SetModuleAttribs)(Ctx *, const char *, int, int);
static int (*CreateCommand)(Ctx *, const char *, Command, const char *, int, int, int);
static int (*WrongArity)(Ctx *);
static Key *(*OpenKey)(Ctx *, String *, int);
static void (*CloseKey)(Key *);
static int (*KeyType)(Key *);
static char *(*StringDMA)(Key *, size_t *, int);
static int (*StringTruncate)(Key *, size_t);
static int (*DeleteKey)(Key *);
static const char *(*StringPtrLen)(const String *, size_t *);
static int (*ReplyWithError)(Ctx *, const char *);
static int (*ReplyWithSimpleString)(Ctx *, const char *);
static int (*ReplyWithLongLong)(Ctx *, long long);
static int (*ReplyWithArray)(Ctx *, long);
static int (*ReplyWithStringBuffer)(Ctx *, const char *, size_t);
static int (*ReplicateVerbatim)(Ctx *);
static int (*SubscribeToServerEvent)(Ctx *, Event, Listener);
static int (*AuthenticateClientWithACLUser)(Ctx *, const char *, size_t, void *, void *, uint64_t *);

static const char MARK[4] = {'\x01', 'T', 'N', 'S'};

typedef struct {
  char mark[4];
  uint32_t type, rank, unused;
} Header; /* 16 bytes, then rank times uint64_t */

static const struct {
  const char *name;
  size_t size;
} TYPES[] = {{"FLOAT", 4}, {"DOUBLE", 8}, {"INT8", 1},   {"INT16", 2},  {"INT32", 4},
             {"INT64", 8}, {"UINT8", 1},  {"UINT16", 2}, {"UINT32", 4}, {"UINT64", 8},
             {"BOOL", 1}};
enum { COUNT = sizeof TYPES / sizeof TYPES[0] };

static int is_word(const String *text, const char *word) {
  size_t length;
  const char *found = StringPtrLen(text, &length);
  return length == strlen(word) && strncasecmp(found, word, length) == 0;
}

static int as_dimension(const String *text, uint64_t *value) {
  size_t length;
  const char *found = StringPtrLen(text, &length);
  *value = 0;
  if (length == 0 || length > 15) return 0;
  for (size_t i = 0; i < length; i++) {
    if (found[i] < '0' || found[i] > '9') return 0;
    *value = *value * 10 + (uint64_t)(found[i] - '0');
  }
  return 1;
}

/* AI.TENSORSET key TYPE dimension ... BLOB bytes */
static int tensor_set(Ctx *ctx, String **argv, int argc) {
  uint64_t dimensions[MOST_DIMENSIONS];
  size_t length, type = 0;
  if (argc < 5) return WrongArity(ctx);
  while (type < COUNT && !is_word(argv[2], TYPES[type].name)) type++;
  if (type == COUNT) return ReplyWithError(ctx, "ERR invalid data type");
  int rank = argc - 5;
  if (!is_word(argv[argc - 2], "BLOB"))
    return ReplyWithError(ctx, "ERR a tensor's numbers are given as BLOB, last");
  if (rank > MOST_DIMENSIONS) return ReplyWithError(ctx, "ERR too many dimensions");
  uint64_t bytes = TYPES[type].size;
  for (int i = 0; i < rank; i++) {
    if (!as_dimension(argv[3 + i], &dimensions[i]))
      return ReplyWithError(ctx, "ERR invalid or negative value found in tensor shape");
    if (__builtin_mul_overflow(bytes, dimensions[i], &bytes))
      return ReplyWithError(ctx, "ERR the tensor is too large");
  }
  const char *blob = StringPtrLen(argv[argc - 1], &length);
  if (length != bytes)
    return ReplyWithError(ctx, "ERR data length does not match tensor shape and type");
  Key *key = OpenKey(ctx, argv[1], READ | WRITE);
  int kind = KeyType(key);
  if (kind != STRING && kind != EMPTY) DeleteKey(key);
  Header header = {{0}, (uint32_t)type, (uint32_t)rank, 0};
  memcpy(header.mark, MARK, sizeof MARK);
  size_t head = sizeof header + (size_t)rank * sizeof dimensions[0], whole;
  if (StringTruncate(key, head + length) != OK) {
    CloseKey(key);
    return ReplyWithError(ctx, "ERR the tensor is larger than the server's strings may be");
  }
  char *place = StringDMA(key, &whole, WRITE);
  memcpy(place, &header, sizeof header);
  memcpy(place + sizeof header, dimensions, head - sizeof header);
  memcpy(place + head, blob, length);
  CloseKey(key);
  ReplicateVerbatim(ctx);
  return ReplyWithSimpleString(ctx, "OK");
}

static void reply_meta(Ctx *ctx, const Header *header, const char *dimensions) {
  const char *name = TYPES[header->type].name;
  ReplyWithStringBuffer(ctx, "dtype", 5);
  ReplyWithStringBuffer(ctx, name, strlen(name));
  ReplyWithStringBuffer(ctx, "shape", 5);
  ReplyWithArray(ctx, header->rank);
  for (uint32_t i = 0; i < header->rank; i++) {
    uint64_t size;
    memcpy(&size, dimensions + i * sizeof size, sizeof size);
    ReplyWithLongLong(ctx, (long long)size);
  }
}

/* Where the numbers begin; 0 if this is no tensor. */
static size_t begin_of(const char *text, size_t length, Header *header) {
  if (length < sizeof *header) return 0;
  memcpy(header, text, sizeof *header);
  if (memcmp(header->mark, MARK, sizeof MARK) || header->type >= COUNT) return 0;
  if (header->rank > MOST_DIMENSIONS) return 0;
  size_t head = sizeof *header + header->rank * sizeof(uint64_t);
  return head <= length ? head : 0;
}

/* AI.TENSORGET key [META] [BLOB] */
static int tensor_get(Ctx *ctx, String **argv, int argc) {
  int meta = 0, blob = 0;
  size_t length = 0;
  if (argc < 2) return WrongArity(ctx);
  for (int i = 2; i < argc; i++) {
    if (is_word(argv[i], "META")) meta = 1;
    else if (is_word(argv[i], "BLOB")) blob = 1;
    else return ReplyWithError(ctx, "ERR unsupported: a tensor is given as META, BLOB or both");
  }
  Key *key = OpenKey(ctx, argv[1], READ);
  if (key == NULL || KeyType(key) == EMPTY) {
    if (key) CloseKey(key);
    return ReplyWithError(ctx, "ERR tensor key is empty or in a different shard");
  }
  Header header;
  const char *text = KeyType(key) == STRING ? StringDMA(key, &length, READ) : NULL;
  size_t head = text ? begin_of(text, length, &header) : 0;
  if (!head) {
    CloseKey(key);
    return ReplyWithError(ctx, "WRONGTYPE Operation against a key that holds no tensor");
  }
  if (meta || !blob) {
    ReplyWithArray(ctx, blob ? 6 : 4);
    reply_meta(ctx, &header, text + sizeof header);
    if (blob) ReplyWithStringBuffer(ctx, "blob", 4);
  }
  if (blob) ReplyWithStringBuffer(ctx, text + head, length - head);
  CloseKey(key);
  return OK;
}

static int no_models(Ctx *ctx, String **argv, int argc) {
  (void)argv, (void)argc;
  return ReplyWithError(
      ctx, "ERR this store keeps data alone: models and scripts need a server with an inference "
           "engine. Run them in the program, or name a module that has them (modules: [FILE])");
}

static int info(Ctx *ctx, String **argv, int argc) {
  if (argc > 1) return no_models(ctx, argv, argc);
  return ReplyWithArray(ctx, 0);
}

static int config(Ctx *ctx, String **argv, int argc) {
  if (argc == 3 && is_word(argv[1], "GET") && is_word(argv[2], "MODEL_CHUNK_SIZE"))
    return ReplyWithLongLong(ctx, 511 * 1024 * 1024);
  if (argc == 4 && is_word(argv[1], "MODEL_CHUNK_SIZE")) return ReplyWithSimpleString(ctx, "OK");
  if (argc == 3 && is_word(argv[1], "MODEL_CHUNK_SIZE")) return ReplyWithSimpleString(ctx, "OK");
  return no_models(ctx, argv, argc);
}

/* Whether the server's keeper knows a client as its user's program. */
static int is_known(const ClientInfo *client) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  struct timeval patience = {.tv_sec = 3};
  char question[64], answer = 0;
  int line = *gate ? socket(AF_UNIX, SOCK_STREAM, 0) : -1;
  if (line < 0) return 0;
  snprintf(name.sun_path, sizeof name.sun_path, "%s", gate);
  int length = snprintf(question, sizeof question, "%s %u\n", client->address, client->port);
  setsockopt(line, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(line, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(line, (struct sockaddr *)&name, sizeof name) == 0 &&
      write(line, question, (size_t)length) == length)
    (void)!recv(line, &answer, 1, 0);
  close(line);
  return answer == '1';
}

/* Our servers know each other's slots from their configuration and have nothing to say. In place of
 * the socket we leave what is never ready. */
static void close_bus(void) {
  struct sockaddr_storage name;
  int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (int descriptor = 3; nothing >= 0 && descriptor < getdtablesize(); descriptor++) {
    socklen_t length = sizeof name;
    if (getsockname(descriptor, (struct sockaddr *)&name, &length)) continue;
    if (name.ss_family != AF_INET && name.ss_family != AF_INET6) continue;
    if (ntohs(((struct sockaddr_in *)&name)->sin_port) == cluster_port + BUS)
      dup2(nothing, descriptor);
  }
  close(nothing);
}

static void let_in(Ctx *ctx, Event event, uint64_t what, void *data) {
  static int is_closed = 0;
  ClientInfo *client = data;
  (void)event;
  if (what != CONNECTED) return;
  if (cluster_port && !is_closed) { /* at its first client all its sockets are there */
    close_bus();
    is_closed = 1;
  }
  if (client->flags & THROUGH_SOCKET || is_known(client))
    AuthenticateClientWithACLUser(ctx, "default", 7, NULL, NULL, NULL);
}

static const char *const NO_MODELS[] = {
    "AI.MODELSTORE",  "AI.MODELSET",  "AI.MODELGET",    "AI.MODELDEL",   "AI.MODELEXECUTE",
    "AI.MODELRUN",    "AI._MODELSCAN", "AI.SCRIPTSTORE", "AI.SCRIPTSET", "AI.SCRIPTGET",
    "AI.SCRIPTDEL",   "AI.SCRIPTEXECUTE", "AI.SCRIPTRUN", "AI._SCRIPTSCAN", "AI.DAGRUN",
    "AI.DAGRUN_RO",   "AI.DAGEXECUTE"};

static int commands(Ctx *ctx) {
  if (CreateCommand(ctx, "AI.TENSORSET", tensor_set, "write deny-oom", 1, 1, 1) ||
      CreateCommand(ctx, "AI.TENSORGET", tensor_get, "readonly", 1, 1, 1) ||
      CreateCommand(ctx, "AI.INFO", info, "readonly", 0, 0, 0) ||
      CreateCommand(ctx, "AI.CONFIG", config, "readonly", 0, 0, 0))
    return ERROR;
  for (size_t i = 0; i < sizeof NO_MODELS / sizeof NO_MODELS[0]; i++)
    if (CreateCommand(ctx, NO_MODELS[i], no_models, "readonly", 0, 0, 0)) return ERROR;
  return OK;
}

#define FIND(name) (find("RedisModule_" #name, (void *)&name) == OK)

int RedisModule_OnLoad(void *ctx, String **argv, int argc) {
  int (*find)(const char *, void *) = *(int (**)(const char *, void *))ctx;
  Event changes = {CLIENT_CHANGE, 1};
  int is_bare = 0;
  if (!(FIND(SetModuleAttribs) && FIND(CreateCommand) && FIND(WrongArity) && FIND(OpenKey) &&
        FIND(CloseKey) && FIND(KeyType) && FIND(StringDMA) && FIND(StringTruncate) &&
        FIND(DeleteKey) && FIND(StringPtrLen) && FIND(ReplyWithError) &&
        FIND(ReplyWithSimpleString) && FIND(ReplyWithLongLong) && FIND(ReplyWithArray) &&
        FIND(ReplyWithStringBuffer) && FIND(ReplicateVerbatim) && FIND(SubscribeToServerEvent) &&
        FIND(AuthenticateClientWithACLUser)))
    return ERROR;
  SetModuleAttribs(ctx, "ensemake", 1, 1);
  for (int i = 0; i < argc; i++) {
    if (is_word(argv[i], "bare")) is_bare = 1;
    if (i + 1 == argc) break;
    if (is_word(argv[i], "cluster")) cluster_port = atoi(StringPtrLen(argv[++i], NULL));
    else if (is_word(argv[i], "gate"))
      snprintf(gate, sizeof gate, "%s", StringPtrLen(argv[++i], NULL));
  }
  SubscribeToServerEvent(ctx, changes, let_in);
  return is_bare ? OK : commands(ctx);
}
