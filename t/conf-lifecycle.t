# Reload, quit, a new key, no connections left, a killed worker: what is under way
# is answered, and what comes afterwards works.

use Chatmaid::Test;
use Digest::SHA qw(sha256_hex);
use IO::Socket::IP;

my $new_key = api_key('test');
my $api     = sandbox(keys => [map { {key => $_, account => 'main'} } test_key, $new_key]);


sub held_sends ($count, $when = 'before', $path = '/send') {
    my $held = $api->held;
    $api->fault({hold => $when, times => $count});
    my @sends = map { later(POST => $path, message) } 1 .. $count;
    $api->wait_held($held + $count);
    return @sends;
}

sub start_nginx (%option) {
    return nginx(gateway => 'chatmaid_sender +15550100001;', error_log => 'info', %option);
}

# Shutting down, or gone already.
sub leaving ($nginx, @pids) {
    return wait_for(sub {
        my %title = $nginx->children;
        !grep { ($title{$_} // 'shutting down') !~ /shutting down/ } @pids;
    }, 'workers to leave');
}


subtest 'reload' => sub {
    my $nginx  = start_nginx;
    my @old    = $nginx->workers;
    my $before = $api->made;
    my @sends  = (held_sends(3, 'before'), held_sends(3, 'after'));
    my $read   = do { $api->fault({hold => 'before'}); later(GET => '/account') };
    $api->wait_held(7);

    $nginx->reload;
    ok(!(grep { my $pid = $_; grep { $_ == $pid } @old } $nginx->workers), 'other workers serve');
    is(post('/send', message)->{status}, 201, 'meanwhile');
    ok((grep { my %title = $nginx->children; exists $title{$_} } @old), 'the old ones wait');
    my @more = held_sends(2);
    $nginx->reload;
    is(post('/send', message)->{status}, 201, 'after a second one');

    $api->release;
    is($_->result->{status}, 201, 'a send is answered') for @sends, @more;
    is($read->result->{status}, 200, 'a read is answered');
    is($api->made, $before + 10, 'each was sent once');
    ok(wait_for(sub { my %title = $nginx->children; !grep { exists $title{$_} } @old }), 'the old workers end');

    # for a caller that has gone
    my ($gone) = held_sends(1);
    $gone->abort;
    @old = $nginx->workers;
    $nginx->reload;
    $api->release;
    ok(wait_for(sub { $api->made == $before + 11 }), 'sent for one that has gone');
    ok(wait_for(sub { my %title = $nginx->children; !grep { exists $title{$_} } @old }), 'and its worker ends');
};

# 8 digits that name a key: `sha256sum` over a label and the key gives them.
sub fingerprint ($key) { substr sha256_hex("chatmaid-key-1:$key"), 0, 8 }

subtest 'which key' => sub {
    my $live  = live_key;
    my $nginx = start_nginx(error_log => 'notice', workers => 2, files => {live => $live, same => test_key},
        server => 'location /l/ { chatmaid_gateway /.chatmaid/; chatmaid_api_key_file %DIR%/live; chatmaid_account main; }'
            . ' location /s/ { chatmaid_gateway /.chatmaid/; chatmaid_api_key_file %DIR%/same; }');
    my $told = sub ($from = 0) {
        [sort map { /chatmaid account "(\S+)" has the key (\w+) of "\S+\/(\w+)"/ ? "$1 $2 $3" : () } grep { /\[notice\]/ } $nginx->log_lines($from)];
    };
    my $of_live = 'live:main ' . fingerprint($live) . ' live';
    is_deeply($told->(), [$of_live, 'test: ' . fingerprint(test_key) . ' same'], 'one line an account at start');

    my $from = length $nginx->error_log;
    $nginx->key($new_key)->file(same => $new_key);
    $nginx->reload;
    is_deeply($told->($from), [$of_live, 'test: ' . fingerprint($new_key) . ' same'], 'and at reload: the new one');

    $from = length $nginx->error_log;
    is(($nginx->test)[0], 0, 'nginx -t');
    is_deeply($told->($from), [], 'is no start');
};

subtest 'a zone that changes' => sub {
    my $warned = sub ($nginx, $http) {
        my $from = length $nginx->error_log;
        $nginx->configure(http => $http)->reload;
        return join ' | ', map { /\[warn\].*"chatmaid_zone" changes from (.*): its records are lost/ ? $1 : () } $nginx->log_lines($from);
    };
    my $nginx = start_nginx;
    is($warned->($nginx, ''), '', 'none: as it was');
    is($warned->($nginx, 'chatmaid_zone chatmaid:4m;'), '', 'written out');
    is($warned->($nginx, 'chatmaid_zone chatmaid:8m;'), '"chatmaid" of 4096k to "chatmaid" of 8192k', 'larger');
    is($warned->($nginx, 'chatmaid_zone chatmaid:1m;'), '"chatmaid" of 8192k to "chatmaid" of 1024k', 'smaller');
    is($warned->($nginx, 'chatmaid_zone sends:1m;'), '"chatmaid" of 1024k to "sends" of 1024k', 'another name');
    is($warned->($nginx, 'chatmaid_zone sends:2m; chatmaid_redis redis://127.0.0.1:1;'), '', 'with a Redis: nothing is lost');
    is(scalar $nginx->logged(qr/"chatmaid_zone" changes/), 3, 'each said once');
};

subtest 'quit' => sub {
    my $nginx  = start_nginx(workers => 2);
    my $before = $api->made;
    my @sends  = (held_sends(4, 'before'), held_sends(4, 'after'));
    my @pids   = $nginx->workers;
    $nginx->kill('QUIT');
    leaving($nginx, @pids);
    ok($nginx->alive, 'it waits');
    $api->release;
    is($_->result->{status}, 201, 'a send is answered') for @sends;
    is($api->made, $before + 8, 'each was sent once');
    ok(wait_for(sub { !$nginx->alive }), 'it ends');
    is($nginx->status, 0, 'with status 0');
};

subtest 'a new key under load' => sub {
    my $nginx = start_nginx(workers => 2);
    my $from  = $api->count + 1;
    my $total = volume(300, 60);
    my (@under_way, @answers);

    my $keep_busy = sub ($until) {
        while (@answers < $until) {
            push @under_way, later(POST => '/send', message) while @under_way < 8;
            wait_for(sub { grep { $_->done } @under_way });
            push @answers, map { $_->answer } grep { $_->done } @under_way;
            @under_way = grep { !$_->done } @under_way;
        }
    };

    $keep_busy->($total / 3);
    $nginx->key($new_key);
    $nginx->kill('HUP');
    $keep_busy->(2 * $total / 3);
    $nginx->reload;
    my $switched = $api->count + 1 + @under_way;
    $keep_busy->($total);
    push @answers, map { $_->result } @under_way;

    is(scalar(grep { $_->{status} != 201 } @answers), 0, 'no send failed');
    my @calls = $api->requests(from => $from);
    is(scalar @calls, scalar @answers, 'each called once');
    ok($calls[0]{key} eq test_key, 'the old key at first');
    ok($calls[-1]{key} eq $new_key, 'the new key in the end');
    is(scalar(grep { $_->{key} ne $new_key } $api->requests(from => $switched)), 0, 'and no other, once all workers are new');
};

subtest 'no connections left' => sub {
    my $nginx = start_nginx(error_log => 'debug', conf => <<'END');
%LOAD%
daemon off;
%USER%
pid %DIR%/nginx.pid;
error_log %DIR%/error.log %LEVEL%;
worker_processes 1;
events { worker_connections 16; }
http {
    %HTTP%
    chatmaid_api_key_file %DIR%/api_key;
    upstream chatmaid_api { %upstream% }
    server {
        listen 127.0.0.1:%PORT%;
        location ^~ /chatmaid/  { %gateway% }
        location ^~ /.chatmaid/ { %internal% }
    }
}
END
    $nginx->expect(qr/\[alert\].*16 worker_connections are not enough/, 'the test takes them all');
    my $worker = ($nginx->workers)[0];
    my $made   = $api->made;
    my $calls  = $api->count;
    my $fds    = $nginx->fds($worker);

    # Who has begun a request can't be taken his connection: one after the other.
    my @full;
    my $none_left = sub { $nginx->logged(qr/worker_connections are not enough(?!, reusing)/) };
    until ($none_left->()) {
        my $socket = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $nginx->port) or die "connect: $@";
        syswrite $socket, "POST /chatmaid/send HTTP/1.1\r\n";
        push @full, $socket;
        wait_for(sub { $none_left->() || (() = $nginx->error_log =~ /http process request line/g) >= @full }, 'a connection');
    }

    my $finish = sub ($socket, $rest) {
        syswrite $socket, $rest;
        my $answer = '';
        while (sysread $socket, $answer, 65536, length $answer) { }
        return $answer;
    };
    my $body = '{"to":"+15550100099","text":"Your table is not ready"}';
    my $send = $finish->($full[0], "Host: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
        . "Content-Length: ${\length $body}\r\n\r\n$body");
    like($send, qr{\AHTTP/1\.1 50[023] }, 'a send is answered');
    like($send, qr{^Content-Type: application/problem\+json\r$}m, 'by a problem');
    like($send, qr/"outcome": ?"not_sent"/, 'it was not sent');
    is($api->count, $calls, 'nothing was called');

    close $_ for @full;
    wait_for(sub { $nginx->fds($worker) <= $fds }, 'nginx to notice');
    for my $n (1 .. 5) {
        is(post('/send', message)->{status}, 201, "and then, $n");
    }
    my @sends = held_sends(5);
    $api->release;
    is($_->result->{status}, 201, 'several at once') for @sends;
    is($api->made, $made + 10, 'each was sent once');
    is(($nginx->workers)[0], $worker, 'by the same worker');
};

# Both workers have some, as the kernel deals connections out by their ports.
subtest 'a worker is killed' => sub {
    my $nginx = start_nginx(workers => 2, server => 'listen 127.0.0.1:%PORT:both% reuseport;');
    my $made  = $api->made;
    my @sends = held_sends(24, 'before', 'http://127.0.0.1:' . $nginx->port('both') . '/chatmaid/send');
    my ($victim) = $nginx->workers;

    $nginx->kill_workers($victim);
    wait_for(sub { grep { $_->done } @sends }, 'callers to notice');
    $api->release;
    my @status = map { $_->result->{status} } @sends;
    my $lost   = grep { $_ == 0 } @status;
    my $kept   = grep { $_ == 201 } @status;
    is($lost + $kept, 24, 'nothing else happens');
    ok($lost > 0, "the killed one's are lost");
    ok($kept > 0, "the other's are answered");
    is($api->made, $made + 24, 'all had arrived');
    is(post('/send', message)->{status}, 201, 'and then') for 1 .. 4;
    is(scalar(() = $nginx->workers), 2, 'two workers again');
};

done;
