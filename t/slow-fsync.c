/*
 * Makes fsync() and fdatasync() take CHATMAID_FSYNC milliseconds more, as on a
 * busy disk.  The tests preload it into redis-server; `make probe` builds it.
 */

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>


static void
delay(void)
{
    long             msec;
    const char      *value;
    struct timespec  left;

    value = getenv("CHATMAID_FSYNC");
    msec = value ? atol(value) : 0;

    left.tv_sec = msec / 1000;
    left.tv_nsec = msec % 1000 * 1000000;

    while (nanosleep(&left, &left) == -1 && errno == EINTR) { /* void */ }
}


int
fsync(int fd)
{
    delay();

    return syscall(SYS_fsync, fd);
}


int
fdatasync(int fd)
{
    delay();

    return syscall(SYS_fdatasync, fd);
}
