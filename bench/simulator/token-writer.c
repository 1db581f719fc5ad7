/*
 * Streams tokens on a schedule and does nothing else: what of the simulated server's lateness this machine would charge
 * any program with. Linux only. A tool of `npm run bench:simulator`, not part of the package.
 *
 *   token-writer STREAMS STEP_MS TOKENS LEAD_MS
 *
 * Prints its port, waits for STREAMS connections with a request each, and writes a chunk to each of them every STEP_MS, from
 * LEAD_MS before the step's time on, as the simulated server does. Ends with the last step.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char HEAD[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
/* A completion's event, as long as the simulated server's. */
static const char CHUNK[] =
    "fa\r\ndata: {\"id\":\"cmpl-0123456789abcdef-0\",\"object\":\"text_completion\",\"created\":1700000000,"
    "\"model\":\"Qwen/Qwen3-8B\",\"choices\":[{\"index\":0,\"text\":\" slowly\",\"logprobs\":null,\"finish_reason\":null,"
    "\"stop_reason\":null,\"prompt_token_ids\":null,\"token_ids\":null}]}\n\n\r\n";

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void write_all(int fd, const char *bytes, size_t length) {
  if (send(fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length) die("send");
}

static int listening_socket(int backlog) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof address;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  if (bind(fd, (struct sockaddr *)&address, size) < 0) die("bind");
  if (listen(fd, backlog) < 0) die("listen");
  if (getsockname(fd, (struct sockaddr *)&address, &size) < 0) die("getsockname");
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return fd;
}

static void sleep_until(int64_t nanoseconds) {
  struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR);
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: token-writer STREAMS STEP_MS TOKENS LEAD_MS\n");
    return 2;
  }
  int count = atoi(argv[1]);
  long tokens = atol(argv[3]);
  int64_t step = (int64_t)(atof(argv[2]) * 1e6), lead = (int64_t)(atof(argv[4]) * 1e6);
  int *streams = calloc((size_t)count, sizeof *streams);
  if (streams == NULL) die("calloc");
  int listener = listening_socket(count), on = 1;
  char request[4096];
  for (int stream = 0; stream < count; stream++) {
    streams[stream] = accept(listener, NULL, NULL);
    if (streams[stream] < 0) die("accept");
    if (setsockopt(streams[stream], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) die("TCP_NODELAY");
  }
  for (int stream = 0; stream < count; stream++) {
    if (recv(streams[stream], request, sizeof request, 0) <= 0) die("recv");
    write_all(streams[stream], HEAD, sizeof HEAD - 1);
  }
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t due = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
  for (long token = 0; token < tokens; token++) {
    due += step;
    sleep_until(due - lead);
    for (int stream = 0; stream < count; stream++) write_all(streams[stream], CHUNK, sizeof CHUNK - 1);
  }
  return 0;
}
