use lib 't/lib';
use Chatmaid::Test;
use Chatmaid::Test::Redis;

my $api = sandbox;
my @masters = redis_cluster;
my $nginx = nginx(workers => 2, error_log => 'info', gateway => 'chatmaid_sender +15550100001;', upstream => 'keepalive 10;',
    http => 'chatmaid_redis redis+cluster://127.0.0.1:' . $masters[0]->port . ' timeout=1s fallback=reject; chatmaid_retries 0;');
my %keys;
for (1 .. 30) {
    my ($k, $m) = (key, message);
    is(told($nginx->post('/send', $m, 'Idempotency-Key' => $k)), 201, "send $k");
    is(replayed($nginx->post('/send', $m, 'Idempotency-Key' => $k)), 'replayed', 'again');
}
for (1 .. 10) {
    my $m = message;
    is(told($nginx->post('/send', $m)), 201, 'keyless');
    is(replayed($nginx->post('/send', $m)), 'replayed', 'again');
}
cmp_ok($_->cli('DBSIZE'), '>', 0, 'records at each') for @masters;
diag $_->cli('KEYS', '*') for @masters;
is($nginx->logged(qr/is away/), 0, 'never away') or diag $nginx->error_log;
done;
