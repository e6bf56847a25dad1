# What survives a reload, a restart, another zone, a new binary and a worker that
# is told to hurry: docs/operations.md has the table.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::World qw(wait_for slurp);

my $api   = sandbox;
my $redis = redis_server;
my %store = (zone => '', redis => 'chatmaid_redis ' . $redis->url . ' timeout=30s fallback=reject;');

sub start_nginx (%option) {
    return nginx(gateway => 'chatmaid_sender +15550100001; chatmaid_retries 0;', %option);
}

# A send, and the same again after something has happened.
sub again ($nginx, $happens) {
    my ($m, $key) = (message, key);
    is($nginx->post('/send', $m, 'Idempotency-Key' => $key)->{status}, 201, 'a send');
    my $calls  = $api->sends;
    my $answer = $happens->($nginx)->post('/send', $m, 'Idempotency-Key' => $key);
    is($answer->{status}, 201, 'the same again');
    is(made($m), 1, 'is one message');
    return $api->sends == $calls ? 'the record is kept' : 'Chatmaid is asked again';
}

my %HAPPENS = (
    'a reload'          => [qw(zone redis), sub ($nginx) { $nginx->reload }],
    'a worker is killed' => [qw(zone redis), sub ($nginx) { $nginx->kill_workers }],
    'a restart'         => ['redis', sub ($nginx) { $nginx->stop; $nginx->start }],
    'a larger zone'     => ['redis', sub ($nginx) {
        $nginx->configure(http => $nginx->option->{http} . ' chatmaid_zone chatmaid:6m;')->reload }],
    'a zone of another name' => ['redis', sub ($nginx) {
        $nginx->configure(http => $nginx->option->{http} . ' chatmaid_zone other:4m;')->reload }],
);

for my $what (sort keys %HAPPENS) {
    my ($happens, %kept) = (pop @{$HAPPENS{$what}}, map { $_ => 1 } @{$HAPPENS{$what}});
    for my $store (qw(zone redis)) {
        subtest "$what, $store" => sub {
            my $nginx = start_nginx(http => $store{$store});
            is(again($nginx, $happens), $kept{$store} ? 'the record is kept' : 'Chatmaid is asked again', 'afterwards');
            $nginx->stop;
        };
    }
}

# nginx takes USR2 only where its parent is another one than at its start.
subtest 'a new binary' => sub {
    my $nginx_name = $ENV{NGINX} || 'nginx';
    chomp(my $program = qx(command -v '$nginx_name'));
    for my $store (qw(zone redis)) {
        my $nginx = Chatmaid::Test::gateway(name => "upgraded-$store", http => $store{$store},
            gateway => 'chatmaid_sender +15550100001; chatmaid_retries 0;')->write;
        my (undef, @command) = $nginx->program;
        my ($file, $dir) = ($nginx->dir . '/nginx.pid', $nginx->dir);
        my $starter = process("starter-$store", command => ['sh', '-c',
            '"$@" & while ! [ -s "$0" ]; do sleep 0.02; done', $file, $program, @command]);
        wait_for(sub { !$starter->alive }, 'nginx to start');
        my ($old) = slurp($file) =~ /(\d+)/;
        my $stop = sub { kill QUIT => map { slurp($_) =~ /(\d+)/ } grep { -s } glob "$file $file.oldbin" };

        my $ok = eval {
            my $held = [message, 'Idempotency-Key' => key];
            $api->fault({hold => 'before'});
            my $under_way = $nginx->client->later(POST => '/send', @$held);
            $api->wait_held(1);

            is(again($nginx, sub ($nginx) {
                kill USR2 => $old;
                wait_for(sub { -s "$file.oldbin" && -s $file && slurp($file) !~ /^$old$/ }, 'the new master');
                kill QUIT => $old;
                wait_for(sub {
                    my @workers = split ' ', slurp("/proc/$old/task/$old/children");
                    !grep { (slurp("/proc/$_/cmdline") =~ tr/\0/ /r) =~ /worker process\s*$/ } @workers;
                }, 'the old workers to take no more');
                $nginx;
            }), $store eq 'redis' ? 'the record is kept' : 'Chatmaid is asked again', "$store: afterwards");
            $api->release;
            is($under_way->result->{status}, 201, "$store: what was under way is answered by the old one");
            wait_for(sub { !-e "$file.oldbin" }, 'the old master to end');
            is($nginx->post('/send', message)->{status}, 201, "$store: the new one sends");
            1;
        };
        my $error = $@;
        my ($last) = -s $file ? slurp($file) =~ /(\d+)/ : ();
        $stop->();
        wait_for(sub { !$last || !kill 0, $last }, 'the last master to end');
        ok($ok, "$store: all done") or diag($error);
        unlike($nginx->error_log, qr/\[(?:alert|emerg)\]/, "$store: no alert");
    }
};

subtest 'worker_shutdown_timeout' => sub {
    my $nginx = start_nginx(main => 'worker_shutdown_timeout 1s;', http => $store{redis});
    my ($m, $key) = (message, key);
    $api->fault({hold => 'before'});
    my $cut = later(POST => '/send', $m, 'Idempotency-Key' => $key);
    $api->wait_held(1);
    $nginx->kill('HUP');
    isnt($cut->result->{status}, 201, 'a send under way is cut');
    $nginx->reload;
    wait_for(sub { (get("/operations/$key")->{json}{state} // '') eq 'ambiguous' }, 'its record to be ambiguous');
    $api->release;
    is(post('/send', $m, 'Idempotency-Key' => $key)->{status}, 201, 'the same again');
    is(made($m), 1, 'is one message');
};

done;
