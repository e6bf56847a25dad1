#!/usr/bin/perl

# script/run, as `make run` starts it: the first message through conf.example,
# and what is left after Ctrl-C.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Socket::INET;
use POSIX qw(setsid WNOHANG);
use Test::More;
use Time::HiRes qw(sleep time);

my $script   = dirname(dirname(abs_path(__FILE__))) . '/script/run';
my $patience = 120 * ($ENV{CHATMAID_PATIENCE} // 1);

my ($tmp, $status, $output, $pid);

# Should this test die, so does what it started.
END {
    my $before = $?;
    kill KILL => session() if $pid;
    $? = $before;
}


for my $signal (qw(INT TERM HUP)) {
    begin(NGINX => $ENV{NGINX} || 'nginx');
    wait_for(qr/Ctrl-C ends it/);

    like($output, qr{^\$ curl -i (http://127\.0\.0\.1:\d+/chatmaid/send)}m,
        "$signal: shows the request");
    like($output, qr{^HTTP/1\.1 201 }m, 'shows the answer');
    like($output, qr{^\{.*"id":"[^"]+".*\}$}m, 'a message');
    unlike($output, qr/sk_test_/, 'and no key');

    like($output, qr{^\$ curl -i https://127\.0\.0\.1:\d+/webhooks/chatmaid .*^HTTP/1\.1 204 }ms, 'a webhook is taken');
    like($output, qr{^The receiver got .*X-Chatmaid-Verified: verified, X-Chatmaid-Event: message\.received$}m, 'and arrives');
    like($output, qr{^A forgery.*^HTTP/1\.1 401 .*"signature_mismatch"}ms, 'a forged one is refused');
    like($output, qr{^The first event once more.*^HTTP/1\.1 200 .*^The receiver got nothing of both}ms, 'a repeat is dropped');
    unlike($output, qr/whsec_/, 'and no secret is shown');
    my ($page, $metrics) = $output =~ m{^The status page:\s+(http://\S+)\nThe metrics:\s+(http://\S+)$}m;
    like(HTTP::Tiny->new(default_headers => {Accept => 'text/html'})->get($page // '')->{content}, qr/<title>Chatmaid gateway/, 'the status page is where it says');
    like(HTTP::Tiny->new->get($metrics // '')->{content}, qr/^chatmaid_requests_total\{route="send",status="201"\} 1$/m, 'and the metrics, with the first message');
    unlike($output, qr/\[(?:warn|error|alert|emerg)\]/, 'nginx has nothing to say');
    cmp_ok(scalar session(), '>=', 4, 'script, sandbox, master, worker');

    my ($port) = $output =~ m{http://127\.0\.0\.1:(\d+)/};
    kill $signal => $pid;
    finish();
    is($status, 0, 'ends well');
    is_deeply([session()], [], 'leaves no process');
    is_deeply(files(), [], 'no temporary file');
    ok(!IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port"), 'nobody listens');
}

# Ctrl-C on a terminal goes to every process of the group, make's too.
begin();
wait_for(qr/Ctrl-C ends it/);
kill INT => -$pid;
finish();
is($status, 0, 'INT for the whole group: ends well');
is_deeply([session()], [], 'leaves no process');
is_deeply(files(), [], 'no temporary file');

# A key that no Chatmaid has seen, but nothing is sent with it.
my $keys = tempdir(CLEANUP => 1);
spurt("$keys/key", "sk_test_0123456789abcdefghijklmn\n");
SKIP: {
    skip 'no name service: a real upstream cannot be resolved here', 4
        unless gethostbyname 'developers-api.chatmaid.net';

    begin(CHATMAID_API_KEY_FILE => "$keys/key");
    wait_for(qr/Ctrl-C ends it/);
    like($output, qr/no message is sent without CHATMAID_FROM and CHATMAID_TO/,
        'a real key, no numbers: says that it sends nothing');
    unlike($output, qr/curl/, 'and sends nothing');
    kill INT => $pid;
    finish();
    is($status, 0, 'ends well');
    is_deeply(files(), [], 'no temporary file');
}

spurt("$keys/key", "not-a-key\n");
begin(CHATMAID_API_KEY_FILE => "$keys/key");
finish();
is($status, 1, 'a key file that holds no key: fails');
like($output, qr/make run: nginx has ended by itself/, 'says so');
like($output, qr/\[emerg\]/, "shows nginx's words");
is_deeply([session()], [], 'leaves no process');
is_deeply(files(), [], 'no temporary file');

# curl is what sends: one that does not get through.
my $bin = tempdir(CLEANUP => 1);
spurt("$bin/curl", "#!/bin/sh\necho 'HTTP/1.1 502 Bad Gateway'\n");
chmod 0755, "$bin/curl";
begin(PATH => "$bin:$ENV{PATH}");
finish();
is($status, 1, 'the first message fails: so does the command');
like($output, qr/^HTTP\/1\.1 502/m, 'shows the answer');
like($output, qr/make run: the first message was not accepted/, 'says so');
is_deeply([session()], [], 'leaves no process');
is_deeply(files(), [], 'no temporary file');

done_testing();


# A session of its own, by which all that it started is found.

sub begin {
    my (%env) = @_;

    $tmp = tempdir(CLEANUP => 1);
    mkdir "$tmp/tmp" or die;
    chmod 0711, $tmp, "$tmp/tmp";

    $pid = fork // die "fork: $!";
    return if $pid;

    setsid();
    delete @ENV{qw(CHATMAID_API_KEY_FILE CHATMAID_FROM CHATMAID_TO)};
    %ENV = (%ENV, TMPDIR => "$tmp/tmp", %env);
    open STDOUT, '>', "$tmp/output" or die;
    open STDERR, '>&', \*STDOUT or die;
    open STDIN, '<', '/dev/null' or die;
    exec $script or POSIX::_exit(127);
}

sub finish {
    my $end = time + $patience;
    until (waitpid $pid, WNOHANG) {
        give_up('script/run does not end') if time > $end;
        sleep 0.02;
    }
    $status = $?;
    $status >>= 8 unless $status & 127;
    $output = slurp("$tmp/output");
}

sub wait_for {
    my ($text) = @_;
    my $end = time + $patience;
    until (($output = slurp("$tmp/output")) =~ $text) {
        if (time > $end || waitpid $pid, WNOHANG) {
            give_up("script/run does not say $text");
        }
        sleep 0.02;
    }
}

# Whatever comes next would fail too.
sub give_up {
    my ($why) = @_;
    diag(slurp("$tmp/output"));
    BAIL_OUT($why);
}

sub session {
    return grep {
        # pid (name) state parent group session; a zombie has ended
        slurp("/proc/$_/stat") =~ /.*\) (\S) \d+ \d+ (\d+) /s && $1 ne 'Z' && $2 == $pid
    } map { m{(\d+)$} } glob '/proc/[0-9]*';
}

sub files {
    opendir my $dir, "$tmp/tmp" or die;
    return [sort grep { !/^\.\.?$/ } readdir $dir];
}

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or return '';
    local $/;
    return scalar(<$in>) // '';
}

sub spurt {
    my ($file, $text) = @_;
    my $before = umask 077;
    open my $out, '>', $file or die "$file: $!";
    print $out $text;
    close $out;
    umask $before;
}
