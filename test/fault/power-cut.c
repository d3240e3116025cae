/* Keeps, in the folder POWER_TO, what a power cut would leave of the files in POWER_FROM: each as it was at its last sync. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int target(const char *path, char *to, size_t size) {
  const char *from = getenv("POWER_FROM"), *into = getenv("POWER_TO");
  if (from == NULL || into == NULL) return 0;
  size_t n = strlen(from);
  if (strncmp(path, from, n) != 0 || path[n] != '/' || strchr(path + n + 1, '/') != NULL) return 0;
  snprintf(to, size, "%s/%s", into, path + n + 1);
  return 1;
}

static void keep(int fd) {
  char link[64], path[4096], to[4200], part[4300], buffer[65536];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return;
  path[length] = 0;
  if (!target(path, to, sizeof to)) return;
  int in = open(path, O_RDONLY);
  if (in < 0) return;
  snprintf(part, sizeof part, "%s.part", to);
  int out = open(part, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ssize_t got;
  while ((got = read(in, buffer, sizeof buffer)) > 0)
    if (write(out, buffer, got) != got) abort();
  close(out);
  close(in);
  rename(part, to);
}

int fdatasync(int fd) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
  int result = real(fd);
  if (result == 0) keep(fd);
  return result;
}

int fsync(int fd) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
  int result = real(fd);
  if (result == 0) keep(fd);
  return result;
}

/* The worst case: a removal is on the disk at once. */
int unlink(const char *path) {
  int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
  char to[4200];
  if (target(path, to, sizeof to)) real(to);
  return real(path);
}
