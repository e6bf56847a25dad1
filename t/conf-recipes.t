# What docs/ tells an operator to type, typed: each recipe is taken from there.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use Mojo::File qw(path);

my $api    = sandbox;
my $redis  = redis_server;
my @blocks = map { $_->slurp =~ /^```sh\n(.*?)^```$/gms } path(__FILE__)->dirname->child('../docs')->list->each;
our $port  = $redis->port;

# The whole block that has this text.
sub recipe ($text) {
    my ($recipe) = grep { /\Q$text\E/ } @blocks or die "docs/ has no recipe with $text";
    return $recipe;
}

# In bash, with a redis-cli that knows the port.
sub typed ($script) {
    spurt(dir . '/recipe', qq{redis-cli() { command redis-cli -p $port "\$@"; }\n$script});
    open my $out, '-|', 'bash', dir . '/recipe' or die "bash: $!";
    local $/;
    return <$out> // '';
}

like(typed(recipe('SETUSER gateway') =~ s/PASSWORD/open-sesame-for-the-gateway/r), qr/\AOK\n\z/, 'the ACL');

my $password = secret('open-sesame-for-the-gateway');
nginx(files => {password => $password, key => live_key}, key => live_key, gateway => 'chatmaid_sender +15550100001;',
    http => "chatmaid_redis redis://gateway\@127.0.0.1:$port password_file=%DIR%/password timeout=30s fallback=reject; chatmaid_retries 0;");

my $m = {to => '+15550100099', text => 'Hello'};
is(post('/send', $m, 'Idempotency-Key' => 'order-1')->{status}, 201, 'a send under it');
is(get('/operations/order-1')->{json}{state}, 'done', 'its record is looked up');
is(get('/health')->{json}{redis}, 'up', 'and Redis is well');
$api->fault(no_answer('before'));
is(post('/send', $m, 'Idempotency-Key' => 'order-2')->{status}, 502, 'an ambiguous one');

my $records = recipe('--scan');
my $said = typed($records);
like($said, qr/^2 done [0-9a-f]{64} \d+ 201 \{"data":/m, 'the record of an operation key, with the answer');
like($said, qr/^chatmaid:op:[0-9a-f]{64}\n\z/m, 'the ambiguous ones');
unlike(typed($records), qr/^2 done/m, 'it was deleted');
is(post('/send', $m, 'Idempotency-Key' => 'order-1')->{headers}{'idempotent-replayed'}, undef, 'so a retry is sent again');

subtest 'a Cluster' => sub {
    my ($node) = redis_cluster(masters => 1);
    local $port = $node->port;
    like(typed(recipe('+asking') =~ s/PASSWORD/open-sesame-for-the-gateway/r), qr/\AOK\n\z/, 'the ACL');
    my $nginx = nginx(name => 'cluster', files => {password => $password, key => live_key}, key => live_key, gateway => 'chatmaid_sender +15550100001;',
        http => "chatmaid_redis redis+cluster://gateway\@127.0.0.1:$port password_file=%DIR%/password timeout=30s fallback=reject; chatmaid_retries 0;");
    is($nginx->post('/send', $m, 'Idempotency-Key' => 'order-1')->{status}, 201, 'a send under it');
    is($nginx->get('/health')->{json}{redis}, 'up', 'Redis is well');
    my $record = recipe('redis-cli -c');
    like(typed($record), qr/^2 done [0-9a-f]{64} \d+ 201 \{"data":.*^1$/ms, 'the record of an operation key');
    unlike(typed($record), qr/^2 done/m, 'it was deleted');
    $nginx->quit;
};

subtest 'systemd stops nginx' => sub {
    my ($command) = path(__FILE__)->dirname->child('../docs/operations.md')->slurp =~ /^ExecStop=-(.+)$/m;
    my $nginx = nginx(name => 'stopped', gateway => 'chatmaid_sender +15550100001;');
    $api->fault({hold => 'before'});
    my $send = $nginx->later(POST => '/send', $m);
    $api->wait_held;

    my $stop = process('stop', command => ['bash', '-c', $command =~ s{/run/nginx\.pid}{$nginx->dir . '/nginx.pid'}er]);
    wait_for(sub { $nginx->error_log =~ /gracefully shutting down/ }, 'the signal');
    ok($stop->alive, 'it waits for the send');
    $api->release;
    is(told($send->result), 201, 'which ends');
    wait_for(sub { !$nginx->alive && !$stop->alive }, 'nginx to end, and the command');
    is($stop->status, 0, 'without an error') or diag($stop->text);
};

subtest 'a stream and its consumer group' => sub {
    my ($create, $read, $ack, $claim) = split /\n/, recipe('XREADGROUP');
    typed('redis-cli ACL SETUSER gateway +xadd');
    edge(files => {password => $password}, webhook => '-proxy_pass; chatmaid_webhook_stream chatmaid:events;',
        http => "chatmaid_redis redis://gateway\@127.0.0.1:$port password_file=%DIR%/password timeout=30s;");

    like(typed($create), qr/\AOK\n\z/, 'the group');
    my $body = event('message.received', {messageId => 'inmsg_1'}, '2026-07-25T17:21:00.500Z');
    is(code(hook($body)), 200, 'an event');
    is(code(hook(event('message.sent'))), 200, 'another');

    my $entries = typed($read);
    like($entries, qr/^event\nmessage\.received\nmessage_id\ninmsg_1\ntimestamp\n2026-07-25T17:21:00\.500Z\nreceived\n\d{13}\nbody\n\Q$body\E$/m, 'is read');
    my ($first, $second) = $entries =~ /^(\d+-\d+)$/mg;
    is(typed($ack =~ s/ID/$first/r), "1\n", 'done with');
    is(typed($ack =~ s/ID/$first/r), "0\n", 'once');
    unlike(typed($claim), qr/^\d+-[1-9]|^event$/m, 'what a worker has had for less than a minute stays with it');
    my $claimed = typed($claim =~ s/60000/0/r);
    like($claimed, qr/^\Q$second\E$/m, 'after that, another gets it');
    unlike($claimed, qr/^\Q$first\E$/m, 'and not what was done');
    like(typed('redis-cli XPENDING chatmaid:events mailroom'), qr/worker-2/, 'so it is its own');
    unlike(typed($read =~ s/BLOCK 5000 //r), qr/^event$/m, 'nothing is new');
};

spurt(dir . '/a key', live_key . "\n");
my ($digits) = typed(recipe('chatmaid-key-1') =~ s{/etc/nginx/chatmaid/api_key}{"@{[dir]}/a key"}r) =~ /\A([0-9a-f]{8})\n\z/;
my $started  = nginx(key => live_key);
ok($digits && $started->logged(qr/\[notice\].*chatmaid account "live:" has the key $digits of/), 'which key is in use');

like(typed(recipe('ns chatmaid-1 test:')), qr/\Af660fb0ecbc69c23a7c22126a5ffba91fa8aa691de473dddcdb785426be107da\b/, 'the test vector');
like(path(__FILE__)->dirname->child('../docs/protocol.md')->slurp, qr/f660fb0ecbc69c23a7c22126a5ffba91fa8aa691de473dddcdb785426be107da/, 'is the one in docs/protocol.md');

# The directives of the internal location, from { to }.
sub internal ($file) {
    my ($block) = path(__FILE__)->dirname->sibling($file)->slurp =~ m[^( *)location \^~ /\.chatmaid/ (\{.*?^\1\})]ms ? $2 : '';
    return [grep { length } map { s/\s*#.*//r =~ s/^\s+//r } split /\n/, $block];
}

is_deeply(internal('contrib/chatmaid-internal.conf'), internal('conf.example'), 'the snippet of the package is what conf.example has');
cmp_ok(scalar @{internal('conf.example')}, '>', 10, 'all of it');

done;
