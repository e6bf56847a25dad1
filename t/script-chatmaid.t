# script/chatmaid, as an operator uses it on the machine of a gateway.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use Chatmaid::Test::World qw(leaks_in);
use Mojo::File qw(path);

my $api   = sandbox;
my $redis = redis_server;
my $port  = $redis->port;
my $tool  = path(__FILE__)->dirname->sibling('script/chatmaid')->to_abs;
my $receiver = receiver;

my $nginx = nginx(
    api    => $api,
    gateway => 'chatmaid_sender +15550100001; chatmaid_account spring; chatmaid_idempotency_scope warehouse;',
    files  => {webhook_secret => webhook_secret . "\n"},
    http   => "# it's a comment {\nchatmaid_retries 0; chatmaid_redis redis://127.0.0.1:$port timeout=30s prefix=shop:;",
    server => 'location = /hook { chatmaid_webhook on; chatmaid_webhook_secret_file webhook_secret; proxy_pass http://127.0.0.1:' . $receiver->port . '; }
               location = /stream { chatmaid_webhook on; chatmaid_webhook_secret_file webhook_secret; chatmaid_webhook_stream chatmaid:events; }',
);

# nginx as the tool finds it, but for where the test has its files.
my $bin = dir . '/bin';
mkdir $bin, 0700;
my ($program) = grep { -x } $ENV{NGINX} || (), map { "$_/nginx" } split /:/, $ENV{PATH};
spurt("$bin/nginx", qq(#!/bin/sh\nexec $program -p "\$OF" -e "\$OF/tool.log" "\$@"\n), 0700);
my $of = $nginx;

# (exit code, what it printed).
sub chatmaid (@args) {
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        delete $ENV{NGINX};             # to nginx, sockets that it inherits
        @ENV{qw(PATH OF)} = ("$bin:$ENV{PATH}", $of->dir);
        $ENV{ASAN_OPTIONS} = 'detect_leaks=0';
        open STDERR, '>&', \*STDOUT;
        exec $tool, '-c', $of->dir . '/nginx.conf', @args or POSIX::_exit(127);
    }
    my $said = join '', <$out>;
    close $out;
    is(join(' ', leaks_in($said)), '', "@args: shows no secret");
    return ($? >> 8, $said);
}

subtest 'records' => sub {
    my ($code, $said) = chatmaid(record => 'order-1');
    is($code, 1, 'none');
    like($said, qr/^chatmaid: no record of order-1$/m, 'says so');

    is(post('/send', message, 'Idempotency-Key' => 'order-1')->{status}, 201, 'a send');
    ($code, $said) = chatmaid(record => 'order-1');
    is($code, 0, 'its record');
    like($said, qr/^state +done$/m, 'is done');
    like($said, qr/^begun +2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/m, 'when');
    like($said, qr/^expires +in \d+ s$/m, 'until when');
    like($said, qr/^status +201$/m, 'with the answer');
    like($said, qr/^answer +\{.*"id":"msg_/m, 'and its text');

    is((chatmaid('ambiguous'))[1], '', 'nothing is ambiguous');
    $api->fault(no_answer('before'));
    post('/send', message, 'Idempotency-Key' => 'order-2');
    my ($name) = (chatmaid(record => 'order-2'))[1] =~ /^name +(\S+)\nexpires .*^state +ambiguous$/ms;
    like((chatmaid('ambiguous'))[1], qr/\A\Q$name\E  begun 2\S+Z\n\z/, 'one is');

    is($name, record_of('order-2', 'test:spring', 'warehouse') =~ s/^chatmaid/shop/r, 'by its name');

    my %record = %{$redis->record($name)};
    $redis->cli('DEL', $name);
    $redis->cli('HSET', $name, %record, version => 1);
    like((chatmaid(record => 'order-2'))[1], qr/^state +ambiguous$/m, 'one of version 1');
    like((chatmaid('ambiguous'))[1], qr/^\Q$name\E /, 'is listed too');
    $redis->cli('SET', $name, 'x y');
    like((chatmaid(record => 'order-2'))[1], qr/^record +x y$/m, 'what is no record is shown as it is');

    is((chatmaid(record => 'order-2', '--delete'))[0], 0, 'deleted');
    is((chatmaid(record => 'order-2'))[0], 1, 'gone');
    is((chatmaid('ambiguous'))[1], '', 'nor listed');
};

subtest 'an event' => sub {
    my ($code, $said) = chatmaid(webhook => 'message.failed', '--message', 'msg_1');
    is($code, 0, 'is taken by this nginx');
    my $body = $receiver->last->{body};
    like($body, qr/"event":"message.failed".*"messageId":"msg_1".*"status":"failed"/, 'and handed on');
    like($said, qr/\n\Q$body\E\n\nHTTP\/1\.1 200 .*\n/, 'both are shown');
};

subtest 'the inbox' => sub {
    my $url = url('/stream');
    is((chatmaid('webhook', 'message.sent', '--url', $url))[0], 0, 'an event');
    my ($code, $said) = chatmaid(qw(inbox peek));
    my ($id) = $said =~ /^chatmaid:events (\d+-\d+)\n(?:  .*\n)*  event +message\.sent\n/m;
    ok($id, 'is there');

    like((chatmaid(qw(inbox status)))[1], qr/^entries +1\n^oldest +2\S+Z\n\z/m, 'one entry, no group');
    $redis->cli(qw(XGROUP CREATE chatmaid:events mailroom $));
    is((chatmaid(qw(inbox replay), $id))[0], 0, 'once more');
    like((chatmaid(qw(inbox status)))[1], qr/^entries +2\n.*^group +mailroom: 0 consumers, 0 pending, 1 to come$/ms, 'for the group');
    like((chatmaid(qw(inbox peek 1)))[1], qr/\A(?!.*\Q$id\E)chatmaid:events \d+-\d+\n(?:  .*\n)*  event +message\.sent\n/, 'the newest');

    ($code, $said) = chatmaid(qw(inbox replay 1-1));
    is($code, 1, 'what is not there');
    like($said, qr/^chatmaid:events 1-1: no such entry$/m, 'is said');
};

subtest 'check' => sub {
    my ($code, $said) = chatmaid('check');
    is($code, 0, 'all is well') or diag($said);
    my $ca = $api->port;
    like($said, qr/^ok +\S+\/$_: mode 0600, of \w+$/m, $_) for qw(api_key webhook_secret);
    like($said, qr/^ok +Redis: a master$/m, 'Redis');
    like($said, qr/^ok +Redis' commands: /m, 'its ACL');
    like($said, qr/^ok +Redis' clock: /m, 'its clock');
    like($said, qr/^ok +Chatmaid at 127\.0\.0\.1:$ca: TLS for developers-api\.chatmaid\.net, the clock /m, 'Chatmaid');

    chmod 0644, $nginx->dir . '/webhook_secret';
    $redis->cli(qw(ACL SETUSER default -mget));
    ($code, $said) = chatmaid('check');
    is($code, 1, 'two faults');
    like($said, qr/^FAILED +(\S+webhook_secret): others can read it: chmod 600 \1$/m, 'a file');
    like($said, qr/^FAILED +Redis' commands: the user may not use MGET$/m, 'a command');
    is(() = $said =~ /^FAILED/mg, 2, 'no more');

    $redis->stop;
    ($code, $said) = chatmaid('check');
    is($code, 1, 'without Redis');
    like($said, qr/^FAILED +Redis: 127\.0\.0\.1:\d+: Connection refused/m, 'says why');
    is((chatmaid(record => 'order-1'))[0], 2, 'and its records can\'t be asked for');
};

# The name of the record of an ambiguous send.
sub ambiguous_send ($nginx, $path, $key) {
    $api->fault(no_answer('before'));
    is($nginx->post($nginx->url($path), message, 'Idempotency-Key' => $key)->{status}, 502, "$key: ambiguous");
    return (chatmaid(record => $key))[1] =~ /^name +(\S+)$/m ? $1 : '';
}

subtest 'a password, a database, a prefix like a pattern, files that are included, two accounts' => sub {
    my $word   = secret('password-of-the-tool');
    my $locked = redis_server(host => '::1', args => ['--requirepass', $word]);
    my $part   = $locked->port;
    my @as     = (['AUTH', $word], ['SELECT', 3]);
    $of = nginx(
        name    => 'locked',
        api     => $api,
        gateway => 'chatmaid_sender +15550100001;',
        files   => {
            word         => "$word\n",
            'redis.inc'  => qq(chatmaid_redis "redis://[::1]:$part/3" timeout=30s "prefix=p[1]*?\\\\:" password_file=word;\nchatmaid_retries 0;\n),
            'place1.inc' => "location ^~ /spring/ { chatmaid_gateway /.chatmaid/; chatmaid_account spring; chatmaid_sender +15550100001; }\n",
            'place2.inc' => "location ^~ /autumn/ { chatmaid_gateway /.chatmaid/; chatmaid_account autumn; chatmaid_sender +15550100001; }\n",
        },
        http   => 'include redis.inc;',
        server => 'include place[0-9].inc;',
    );
    my %name = map { $_ => ambiguous_send($of, "/$_/send", "of-$_") } qw(spring autumn);
    is($name{$_}, record_of("of-$_", "test:$_") =~ s/^chatmaid:/p[1]*?\\:/r, "$_: its record") for sort keys %name;
    $locked->cli(@as, 'SET', $name{spring} =~ s/^p\[1\]/p1/r, $locked->cli(@as, 'GET', $name{spring}));
    my @listed = (chatmaid('ambiguous'))[1] =~ /^(\S+)  begun/mg;
    is_deeply([sort @listed], [sort values %name], 'both are listed, what only looks like one is not');

    my ($code, $said) = chatmaid('check');
    is($code, 0, 'all is well') or diag($said);
    like($said, qr/^ok +\S+\/word: mode 0600/m, 'the password file too');
    $of->quit;
};

subtest 'a Cluster' => sub {
    my @masters = redis_cluster(masters => 2);
    $of = nginx(
        name    => 'cluster',
        api     => $api,
        gateway => 'chatmaid_sender +15550100001;',
        http    => 'chatmaid_redis redis+cluster://127.0.0.1:' . $masters[0]->port . ' timeout=30s; chatmaid_retries 0;',
    );
    my (%name, $n);
    while (keys %name < 2) {
        my $key  = 'order-' . ++$n;
        my $slot = $masters[0]->cli(CLUSTER => 'KEYSLOT', tagged_record_of($key));
        $name{$slot < 8192} //= ambiguous_send($of, '/chatmaid/send', $key);
    }
    my @listed = (chatmaid('ambiguous'))[1] =~ /^(\S+)  begun/mg;
    is_deeply([sort @listed], [sort values %name], 'the records of each master');
    my ($code, $said) = chatmaid('check');
    is($code, 0, 'all is well') or diag($said);
    like($said, qr/^ok +Redis: a node of a Cluster$/m, 'Redis');

    my $key  = key;
    my $name = tagged_record_of($key);
    $of->post($of->url('/chatmaid/send'), message, 'Idempotency-Key' => $key);
    my ($from, $to) = $masters[0]->cli('EXISTS', $name) eq '1' ? @masters : reverse @masters;
    redis_slot_move($from->cli(CLUSTER => 'KEYSLOT', $name), $from, $to, \@masters, sub {
        is((chatmaid(record => $key))[0], 0, 'found while its slot is being moved');
    });
    $of->quit;
};

subtest 'what it does not know' => sub {
    for my $args ([], ['nothing'], ['record'], [qw(inbox shut)], [qw(inbox replay)], [qw(record k --force)]) {
        my ($code, $said) = chatmaid(@$args);
        is($code, 2, "@$args: ends with 2");
        like($said, qr/^   record KEY.*^   check /ms, "@$args: shows what there is");
    }
    my ($code, $said) = chatmaid(qw(webhook a"b));
    is($code, 2, 'no event\'s name');
    like($said, qr/^chatmaid: no event's name: a"b$/m, 'says so');
    is((chatmaid(record => 'auto-' . 'a' x 64))[0], 2, 'nor the record of a send without a key');
};

done;
