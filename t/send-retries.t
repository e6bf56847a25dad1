# The fault table: each way to fail, for a send and a read, with and without
# retries, for ever and once.  What Chatmaid saw, what the caller is told, and when.

use Chatmaid::Test;
use Chatmaid::Test::World qw(at_most);
use IO::Socket::IP;
use Mojo::Date;
use Mojo::JSON qw(decode_json);
use Time::HiRes qw(time);

my $wrong = sandbox(cert => 'wrong', name => 'wrong');
my $api   = sandbox;
my $limit = 12;                                 # chatmaid_timeout in these locations

# A port whose queue of connections is full: the next one is not answered.
my $full = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0, Listen => 0) or die "listen: $@";
my @waiting = map { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $full->sockport, Blocking => 0) } 1 .. 3;

my %place = (
    chatmaid => "proxy_pass https://chatmaid_api/; %PROXY%",
    unkept   => "proxy_pass https://127.0.0.1:%API%/; %PROXY%",
    hasty    => "proxy_pass https://chatmaid_api/; %PROXY% proxy_read_timeout 2s;",
    refused  => "proxy_pass https://127.0.0.1:%PORT:nobody%/; %PROXY%",
    wrong    => 'proxy_pass https://127.0.0.1:' . $wrong->port . "/; %PROXY%",
    full     => 'proxy_pass https://127.0.0.1:' . $full->sockport . "/; %PROXY% proxy_connect_timeout 100ms;",
);

my $error   = '502 upstream_error';
my $invalid = '502 upstream_invalid_response';
my $timeout = '504 upstream_timeout';
my $limited = '429 rate_limited';
my $html    = {body => '<html>', type => 'text/html'};

sub envelope ($status, %more) {
    return (status => $status, json => {success => \0, error => 'x', message => ['x'], statusCode => $status, %more});
}

# name, fault, what a send is told, tries of three, messages made, the place.  A
# read is told the same, but no outcome.
my @table = (
    ['refused connection', undef,                     "$error not_sent",     3, 0, 'refused'],
    ['wrong certificate',  undef,                     "$error not_sent",     3, 0, 'wrong'],
    ['no connection',      undef,                     "$timeout not_sent",   3, 0, 'full'],
    ['closed before',      {close => 'before'},       "$error unknown",      3, 0, 'unkept'],
    ['reset before',       {close => 'before', reset => 1}, "$error unknown", 3, 0, 'unkept'],
    ['closed after',       {close => 'after'},        "$error unknown",      3, 1, 'unkept'],
    ['reset after',        {close => 'after', reset => 1}, "$error unknown", 3, 1, 'unkept'],
    ['timeout before',     {hold => 'before'},        "$timeout unknown",    3, 0, 'hasty'],
    ['timeout after',      {hold => 'after'},         "$timeout unknown",    3, 1, 'hasty'],
    ['429',                {envelope(429)},           "$limited not_sent",   3, 0],
    ['429 retryAfter',     {envelope(429, retryAfter => 1)}, "$limited not_sent", 3, 0],
    ['429 Retry-After',    {envelope(429), headers => {'Retry-After' => 1}}, "$limited not_sent", 3, 0],
    ['429 both',           {envelope(429, retryAfter => 1), headers => {'Retry-After' => 30}}, "$limited not_sent", 3, 0],
    ['429 date',           {envelope(429), date => 2}, "$limited not_sent",  3, 0],
    ['429 too long',       {envelope(429, retryAfter => 30)}, "$limited not_sent", 1, 0],
    ['429 header too long', {envelope(429), headers => {'Retry-After' => 30}}, "$limited not_sent", 1, 0],
    ['429 header absurdly long', {envelope(429), headers => {'Retry-After' => '9' x 30}}, "$limited not_sent", 1, 0],
    ['429 date too long',  {envelope(429), date => 40}, "$limited not_sent", 1, 0],
    ['429 both too long',  {envelope(429, retryAfter => 30), headers => {'Retry-After' => 1}}, "$limited not_sent", 1, 0],
    ['429 HTML',           {status => 429, %$html, headers => {'Retry-After' => 1}}, "$limited not_sent", 3, 0],
    ['429 truncated',      {envelope(429), truncate => 5, headers => {'Retry-After' => 1}}, "$limited not_sent", 3, 0],
    ['500',                {envelope(500)},           "$error unknown",      1, 0],
    ['500 after',          {envelope(500), effect => \1}, "$error unknown",  1, 1],
    ['501',                {envelope(501)},           "$error unknown",      1, 0],
    ['502',                {envelope(502)},           "$error unknown",      3, 0],
    ['503',                {envelope(503)},           "$error unknown",      3, 0],
    ['503 after',          {envelope(503), effect => \1}, "$error unknown",  3, 1],
    ['503 HTML',           {status => 503, %$html},   "$error unknown",      3, 0],
    ['504',                {envelope(504)},           "$error unknown",      3, 0],
    ['400',                {envelope(400)},           '400 invalid_request not_sent', 1, 0],
    ['401',                {envelope(401)},           '502 upstream_auth not_sent',   1, 0],
    ['404',                {envelope(404)},           '404 not_found not_sent',       1, 0],
    ['truncated',          {truncate => 20},          "$invalid unknown",    1, 1],
    ['truncated chunks',   {truncate => 20, chunked => 3}, "$invalid unknown", 1, 1],
    ['no JSON',            {status => 200, body => 'fine'}, "$invalid unknown", 1, 0],
    ['HTML 200',           {status => 200, %$html},   "$invalid unknown",    1, 0],
    ['redirected',         {status => 302, body => '', headers => {Location => '/v1/account'}}, "$invalid unknown", 1, 0],
    ['dripping',           {drip => {bytes => 60, every => 2}}, undef,       1, 1],
    ['dripping chunks',    {chunked => 8, drip => {bytes => 60, every => 2}}, undef, 1, 1],
    ['dripping 503',       {envelope(503), drip => {bytes => 60, every => 2}}, "$error unknown", 3, 0],
    ['dripping for ever',  {drip => {bytes => 30, every => 800}}, "$timeout unknown", 1, 1],
);

# A case is a row with its retries, a fault for ever or once, a send or a read.
my (@cases, %locations);
for my $row (@table) {
    my %row;
    @row{qw(name fault told tries made place)} = @$row;
    $row{place} //= 'chatmaid';
    for my $how (qw(none two once)) {
        next if $how eq 'once' && !($row{fault} && $row{tries} == 3);
        for my $what (qw(send read)) {
            my $id = join '-', $row{name} =~ tr/ /-/r, $how, $what;
            $locations{$id} = "chatmaid_gateway /.$row{place}/; chatmaid_account $id;" . ($how eq 'none' ? 'chatmaid_retries 0;' : '');
            push @cases, {%row, id => $id, how => $how, what => $what};
        }
    }
}

my $nginx = nginx(
    gateway => 'chatmaid_sender +15550100001;',
    upstream => 'server 127.0.0.1:%API%; keepalive 64;',
    http    => "chatmaid_timeout ${limit}s; chatmaid_sender +15550100001;",
    server  => join "\n", (map { "location ^~ /$_/ { $locations{$_} }" } sort keys %locations),
        (map { "location ^~ /.$_/ { $place{$_} }" } grep { $_ ne 'chatmaid' } sort keys %place),
        'location ^~ /once/   { chatmaid_gateway /.chatmaid/; chatmaid_retries 0; }',
        'location ^~ /five/   { chatmaid_gateway /.chatmaid/; chatmaid_retries 4; chatmaid_timeout 25s; }',
        'location ^~ /off/    { chatmaid_gateway /.chatmaid/; chatmaid_idempotency off; }',
);

sub ask ($path, $what, $id, $text = $id) {
    my @id = ('X-Request-Id' => $id);
    return later(GET => url("/$path/phones"), undef, @id) if $what eq 'read';
    return later(POST => url("/$path/send"), {to => '+15550100099', text => $text}, 'Idempotency-Key' => $id, @id);
}

sub set_fault ($fault, $id, $times = 0) {
    my %fault = (%$fault, times => $times, match => {request_id => $id});
    my $in    = delete $fault{date};
    $fault{headers}{'Retry-After'} = Mojo::Date->new(int(time) + $in)->to_string if $in;
    $api->fault(\%fault);
}

# A dozen at once, so that the whole table takes little longer than its waits.
my @under_way;
sub ends_until ($left) {
    wait_for(sub {
        $_->{ended} //= time for grep { $_->{pending}->done } @under_way;
        @under_way = grep { !$_->{ended} } @under_way;
        @under_way <= $left;
    }, 'a case to end');
}

for my $case (@cases) {
    ends_until(11);
    set_fault($case->{fault}, $case->{id}, $case->{how} eq 'once' ? 1 : 0) if $case->{fault};
    $case->{began}   = time;
    $case->{pending} = ask($case->{id}, $case->{what}, $case->{id});
    push @under_way, $case;
}
ends_until(0);

my (%seen, %made);
push @{$seen{$_->{request_id}}}, $_ for $api->requests;
$made{$_->{content}}++ for $api->messages;

sub logged_tries ($id) {
    my $line = wait_for(sub { $nginx->access_log =~ m{^(.* /\Q$id\E/.*)$}m ? $1 : '' }, "the log line of $id");
    my ($status) = $line =~ /upstream="[^|"]*\|([^|"]*)\|/;
    return scalar(() = $status =~ /[^,: ]+/g);
}

for my $case (@cases) {
    my ($id, $how, $what) = @$case{qw(id how what)};
    my $answer = $case->{pending}->result;
    my @tries  = @{$seen{$id} // []};
    my $count  = $how eq 'none' ? 1 : $how eq 'once' ? 2 : $case->{tries};
    my $good   = $what eq 'send' ? '201' : '200';
    my $want   = $how eq 'once' ? $good : $case->{told} // $good;

    $want =~ s/ \w+$// if $what eq 'read' && $want =~ / .* /;
    is(told($answer), $want, "$id: is told");
    is(logged_tries($id), $count, "$id: tries in the log");
    is(scalar @tries, $case->{place} =~ /chatmaid|unkept|hasty/ ? $count : 0, "$id: requests at Chatmaid");
    cmp_ok($case->{ended} - $case->{began}, '<', $limit + at_most(10), "$id: in time");
    cmp_ok($answer->{headers}{'retry-after'} // 0, '>', $case->{name} =~ /long/ ? 15 : 0, "$id: Retry-After") if $want =~ /^429/;

    my %same = map { join("\0", $_->{method}, $_->{target}, $_->{body}) => 1 } @tries;
    is(scalar(keys %same), @tries ? 1 : 0, "$id: the same bytes each time");
    like(decode_json($tries[0]{body})->{idempotencyKey} // '', qr/^[0-9a-f]{64}$/, "$id: with a key") if @tries && $what eq 'send';
    is($made{$id} // 0, $how eq 'once' || $case->{made} ? 1 : 0, "$id: messages") if $what eq 'send';

    # a second is a second; of a date the part that has begun is lost
    next unless @tries > 1 && $case->{name} =~ /^429 /;
    my @gaps = map { $tries[$_]{time} - $tries[$_ - 1]{time} } 1 .. $#tries;
    @gaps = $gaps[0] if $case->{name} =~ /date/;
    is(scalar(grep { $_ < 0.9 } @gaps), 0, "$id: waits as long as it is told");
}
$api->clear_faults;
$api->release;

my $late = ask('dripping-for-ever-two-send', 'send', 'dripping-for-ever-two-send')->result;
is(told($late), 201, 'what the deadline cut off is recorded');
is($late->{headers}{'idempotent-replayed'}, 'true', 'without another try');


subtest 'one after another' => sub {
    my @faults = (no_answer('before'), {envelope(429, retryAfter => 1)}, {envelope(502)}, {envelope(503)}, {envelope(504)});
    set_fault($_, 'varied', 1) for @faults[0, 2];
    is(told(ask('chatmaid', 'send', 'varied')->result), 201, 'two faults, then an answer');
    set_fault($_, 'five', 1) for @faults;
    is(told(ask('five', 'send', 'five')->result), "$error unknown", 'chatmaid_retries 4: five faults');
    my @tries = $api->requests(request_id => 'five');
    is(scalar @tries, 5, 'five tries');
    is(scalar(keys %{{map { $_->{body} => 1 } @tries}}), 1, 'alike');

    set_fault({envelope(503)}, 'off', 2);
    is(told(ask('off', 'send', 'off')->result), 201, 'without records');
    @tries = $api->requests(request_id => 'off');
    is(scalar @tries, 3, 'three tries');
    is(scalar(keys %{{map { $_->{body} => 1 } @tries}}), 1, 'alike');
};

# Full jitter: from nothing to the whole of a step, and no two alike.
subtest 'pauses' => sub {
    my @gaps;
    for (my $n = 1; $n <= 16 || $n <= 100 && $gaps[0] >= 0.2; $n++) {
        set_fault({envelope(503)}, "pause-$n", 1);
        is(told(ask('chatmaid', 'read', "pause-$n")->result), 200, "read $n");
        my @tries = $api->requests(request_id => "pause-$n");
        @gaps = sort { $a <=> $b } @gaps, $tries[1]{time} - $tries[0]{ended};
    }
    cmp_ok($gaps[-1] - $gaps[0], '>', 0.05, 'are spread');
    cmp_ok($gaps[0], '<', 0.2, 'from near nothing');
    cmp_ok($gaps[@gaps / 2], '<', 0.25 + at_most(0.1), 'to a quarter of a second');
};

subtest 'chatmaid_retries' => sub {
    my %wrong = (
        'chatmaid_retries -1;'    => qr/"chatmaid_retries"|invalid number/,
        'chatmaid_retries x;'     => qr/"chatmaid_retries"|invalid number/,
        'chatmaid_retries 1.5;'   => qr/"chatmaid_retries"|invalid number/,
        'chatmaid_retries "";'    => qr/"chatmaid_retries"|invalid number/,
        'chatmaid_retries;'       => qr/invalid number of arguments in "chatmaid_retries"/,
        'chatmaid_retries 1 2;'   => qr/invalid number of arguments in "chatmaid_retries"/,
        'chatmaid_retries 1; chatmaid_retries 2;' => qr/"chatmaid_retries" directive is duplicate/,
    );
    for my $text (sort keys %wrong) {
        my ($code, $said) = nginx_t(http => $text);
        is($code, 1, "$text refused");
        like($said, $wrong{$text}, "$text says so");
    }
    is((nginx_t(http => 'chatmaid_retries 0;', server => 'chatmaid_retries 1;', gateway => 'chatmaid_retries 5;'))[0], 0, 'in each place');
};

done;
